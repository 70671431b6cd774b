"""HigherHRNet from a PyTorch checkpoint to an accelerator, and measured there.

Data goes one way: image -> Geometry -> input -> .bin -> backend -> dumps -> maps -> people -> results -> AP.
Importing this package imports nothing else; each module states what it needs.
"""

__version__ = "0.1.0"
