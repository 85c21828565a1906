"""Reading what is stored in book/results."""

import json

from tools.studies.common import FULL


def stored(name):
    """Return what the file of results called ``name`` holds."""
    return json.loads((FULL.results / f"{name}.json").read_text(encoding="utf-8"))
