"""Run the code of pages, write what it prints into them and what it shows into their notebooks.

python tests/outputs.py PAGE.md ...
"""

if __name__ == "__main__":  # processes that a page starts import this file, without this folder
    import sys
    from pathlib import Path

    import notebooks
    import pages

    for page in map(Path, sys.argv[1:]):
        pages.refresh(page.resolve())
        notebooks.refresh(page.resolve())
