"""How notebooks and tests run: on the CPU, and without progress bars."""

import os

os.environ["TQDM_DISABLE"] = "1"
os.environ.setdefault("UNROLLED_DEVICE", "cpu")

# Workers side by side share the cores. With more threads than cores, small networks
# take four times as long.
workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if workers > 1:
    threads = max(1, (os.cpu_count() or 1) // workers)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
