"""Run the code of pages, write what it prints into them and what it shows into their notebooks.

python tests/outputs.py PAGE.md ...
"""

if __name__ == "__main__":  # processes that a page starts import this file, without this folder
    import os
    import sys
    from pathlib import Path

    # As in a worker of the tests, before the first import of numpy or torch: a page whose process is a fork, and that
    # starts others, hangs with threads of OpenMP; and runs that amplify rounding print what they print in the tests.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ[name] = "1"

    import notebooks
    import pages

    for page in map(Path, sys.argv[1:]):
        pages.refresh(page.resolve())
        notebooks.refresh(page.resolve())
