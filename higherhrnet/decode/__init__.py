"""From an image's network outputs to its people, at the pace of an accelerator.

The results are those of the official lib/core/inference.py and lib/core/group.py (commit aa23881), down to the order
among equal-cost assignments and the rounding of float32; but full-resolution maps are never made. ``tiles`` bounds
heat and tags from below and above, ``peaks`` and ``refine`` evaluate by ``fuse`` only where the bounds leave a choice,
and ``group`` joins peaks into people by ``assignment``. ``kernel`` compiles them into one, ``people`` is the interface.
The reference decode among the tests is the same in plain NumPy.

That is for one scale with flip test and a tag map per joint. For other ways of testing ``scales`` makes the full maps,
by ``resize``, and ``whole`` searches them; ``fused`` chooses.
"""

from higherhrnet.decode import kernel, whole
from higherhrnet.decode.people import Outputs, People, decode
from higherhrnet.decode.resize import resize
from higherhrnet.decode.scales import decode_image, fused, people_in_image

__all__ = [
    "VERSION",
    "Outputs",
    "People",
    "compile",
    "compiling",
    "decode",
    "decode_image",
    "fused",
    "is_compiled",
    "people_in_image",
]

VERSION = 1
"""Of the algorithm; to be increased when equal outputs give other people, where golden tests fail."""

_ENTRIES = (kernel.PEOPLE, whole.PEOPLE, resize)


def is_compiled() -> bool:
    """True where every decode starts at once: this process or the cache has all for these sources and this CPU."""
    return all(entry.is_compiled() for entry in _ENTRIES)


def compiling() -> str:
    """What compiling takes, in words; also where nothing can be written that would keep what is compiled."""
    if all(entry.is_kept() for entry in _ENTRIES):
        return "compiling the decode kernel: about half a minute, once"
    return (
        "compiling the decode kernel: about half a minute in each process and at each start, because no folder can be "
        "written that keeps it; set NUMBA_CACHE_DIR to one"
    )


def compile() -> None:
    """Compile what is not in the cache, which takes less than a minute, and leave it there."""
    for entry in _ENTRIES:
        entry.compile()
