"""Commands of `tutelage` that stand in files of their own."""
