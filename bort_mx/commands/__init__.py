"""One module a command, each with `main(argv) -> exit code`; see `bort_mx.cli`."""
