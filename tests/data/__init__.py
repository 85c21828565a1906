"""Checks of the stored results that the prose quotes; they run with `make lint`."""
