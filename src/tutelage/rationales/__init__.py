"""What is written: which rationales are kept for a student to learn from."""
