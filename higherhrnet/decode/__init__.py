"""From an image's network outputs to its people: fuse, peaks, group, refine.

The computation is that of the official lib/core/inference.py and lib/core/group.py (commit aa23881), down to the
order among equal-cost assignments and the rounding of float32, so the same outputs give the same people.
"""

from higherhrnet.decode.people import Options, People, decode

__all__ = ["Options", "People", "decode"]
