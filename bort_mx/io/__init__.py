"""Reading and writing files, output places, and append-only logs."""
