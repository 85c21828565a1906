"""The colors of the book, for plots and live figures: ``palette.json``, by name."""

import json
from pathlib import Path

PALETTE: dict[str, str] = json.loads(
    (Path(__file__).parent / "palette.json").read_text(encoding="utf-8")
)
