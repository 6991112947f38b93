"""Who writes: anything that turns prompts into texts, a local checkpoint or a server, behind one protocol."""
