"""One progress bar for everything that takes a while."""

import os
from typing import Any

from tqdm.auto import tqdm


def progress_bar(**options: Any) -> tqdm:
    """Return a tqdm bar with ``options``, hidden where ``TQDM_DISABLE`` is set.

    tqdm reads that variable too, but its bar for notebooks overlooks it.
    """
    return tqdm(disable=bool(os.environ.get("TQDM_DISABLE")), **options)
