"""Files, places to write to, and append-only logs."""
