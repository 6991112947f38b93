"""What `results.json` is put together from, a file for each noun of it."""
