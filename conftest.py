"""The conditions under which notebooks and tests run: on the CPU, without progress bars."""

import os

os.environ["TQDM_DISABLE"] = "1"
os.environ.setdefault("UNROLLED_DEVICE", "cpu")
