"""Pre-train a BERT subarchitecture, self-supervised or by distillation; see --help."""

import sys

from bort_mx.cli import run_command
from bort_mx.commands.pretrain import main

if __name__ == "__main__":
    sys.exit(run_command("run_pretraining.py", main))
