"""Run the code of pages and write what it prints into them: ``python tests/outputs.py PAGE.md ...``."""

if __name__ == "__main__":  # processes that a page starts import this file, without this folder
    import sys
    from pathlib import Path

    import pages

    for name in sys.argv[1:]:
        pages.refresh(Path(name).resolve())
