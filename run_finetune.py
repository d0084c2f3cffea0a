"""Fine-tune on GLUE, SuperGLUE, RACE or one's own task, through to the submission files; see --help."""

import sys

from bort_mx.cli import run_command
from bort_mx.commands.finetune import main

if __name__ == "__main__":
    sys.exit(run_command("run_finetune.py", main))
