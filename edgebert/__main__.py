"""`python -m edgebert`."""

import sys

try:
    from edgebert.cli import main
except ModuleNotFoundError as error:  # a minimal install has the library and no command line
    if error.name != "click":
        raise
    print("error: the package 'click' is not installed\n  fix: install it with: pip install edgebert", file=sys.stderr)
    sys.exit(2)

if __name__ == "__main__":
    main()
