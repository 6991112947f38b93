"""tutelage teaches small language models to reason.

Start with `tutelage.types` (the records) and one file of `tutelage.methods` (a paper's algorithm, read top to bottom).
Importing this package loads no torch.
"""

__version__ = "0.1.0"
