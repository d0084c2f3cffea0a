"""Entry point of `python -m bort_mx <command> …`."""

import sys

from bort_mx.cli import main

if __name__ == "__main__":
    sys.exit(main())
