"""Models in GGUF, the one-file format of llama.cpp: what a file says, and an ordinary folder made of it."""
