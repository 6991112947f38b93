"""What a run looked up: how well passages were found, how rerankers learnt, what was shown, and the passages cited."""
