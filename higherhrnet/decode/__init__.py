"""From an image's network outputs to its people, at the pace of an accelerator.

The results are those of the official lib/core/inference.py and lib/core/group.py (commit aa23881), down to the order
among equal-cost assignments and the rounding of float32; but full-resolution maps are never made. ``tiles`` bounds
heat and tags from below and above, ``peaks`` and ``refine`` evaluate by ``fuse`` only where the bounds leave a choice,
and ``group`` joins peaks into people by ``assignment``. ``kernel`` compiles them into one, ``people`` is the interface.
tests/clear_decode says the same in plain NumPy.
"""

from higherhrnet.decode.kernel import compile, is_compiled
from higherhrnet.decode.people import Options, People, decode

__all__ = ["Options", "People", "compile", "decode", "is_compiled"]
