"""Grading what students hand in: collect, repair, run sandboxed, score, report."""
