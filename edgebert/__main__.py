"""`python -m edgebert`."""

from edgebert.cli import main

main()
