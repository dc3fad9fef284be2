"""What holds for every test: one thread per worker, no window for a figure, the same hypothesis examples each time."""

import os

# pytest-xdist starts one process per core, so inside a worker the libraries get one thread each, and so do the programs
# that a test starts. This must stand before the first import of numpy or torch. Numba reads its variable as an upper
# limit, which leaves room for the tests that compare one thread with two.
if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ[name] = "1"
    os.environ["NUMBA_NUM_THREADS"] = "2"
os.environ.pop("COLUMNS", None)  # a worker of xdist has the width of the terminal; commands are called as in a pipe
os.environ["MPLBACKEND"] = "Agg"

from hypothesis import settings

# The examples follow from the test itself, so a failure is repeated by running the test again; no deadline, since the
# first call of a kernel compiles it.
settings.register_profile("weightgas", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("weightgas")
