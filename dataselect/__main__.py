"""`python -m dataselect` is the `dataselect` command."""

from dataselect.cli import main

main()
