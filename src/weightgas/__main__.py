"""``python -m weightgas``: the command line."""

from weightgas.cli import main

main()
