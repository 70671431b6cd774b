"""From an image's network outputs to its people, at the pace of an accelerator.

The results are those of the official lib/core/inference.py and lib/core/group.py (commit aa23881), down to the order
among equal-cost assignments and the rounding of float32; but full-resolution maps are never made. ``tiles`` bounds
heat and tags from below and above, ``peaks`` and ``refine`` evaluate by ``fuse`` only where the bounds leave a choice,
and ``group`` joins peaks into people by ``assignment``. ``kernel`` makes compiled functions of them, ``people`` is the
interface. The reference decode among the tests is the same in plain NumPy.

That is for one scale, with or without flip test, and a tag map per joint. For other ways of testing ``scales`` makes
the full maps, by ``resize``, and ``whole`` searches them; ``fused`` chooses.
"""

from higherhrnet.decode.compilation import COUNT, compile, is_compiled, is_kept
from higherhrnet.decode.people import Outputs, People, decode
from higherhrnet.decode.scales import decode_image, fused, in_image, people_in_image

__all__ = [
    "COUNT",
    "VERSION",
    "Outputs",
    "People",
    "compile",
    "compiling",
    "decode",
    "decode_image",
    "fused",
    "in_image",
    "is_compiled",
    "is_kept",
    "people_in_image",
]

VERSION = 1
"""Of the algorithm; to be increased when equal outputs give other people, where golden tests fail."""
