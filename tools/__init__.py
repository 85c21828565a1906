"""What maintains the repository: run ``python -m tools --help``."""
