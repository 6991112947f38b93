"""How well a student answers: predictions by vote, accuracy with intervals, paired comparisons."""
