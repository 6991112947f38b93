"""How a student learns: rows and batches, losses, the trainer, and a training run that survives being killed."""
