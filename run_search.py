"""Search the optimal BERT subarchitecture of a space by the FPTAS; see --help."""

import sys

from bort_mx.cli import run_command
from bort_mx.commands.search import main

if __name__ == "__main__":
    sys.exit(run_command("run_search.py", main))
