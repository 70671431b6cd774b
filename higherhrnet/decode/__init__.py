"""From an image's network outputs to its people, at the pace of an accelerator.

The results are those of the official lib/core/inference.py and lib/core/group.py (commit aa23881), down to the order
among equal-cost assignments and the rounding of float32; but full-resolution maps are never made. ``tiles`` bounds
heat and tags from below and above, ``peaks`` and ``refine`` evaluate by ``fuse`` only where the bounds leave a choice,
and ``group`` joins peaks into people by ``assignment``. ``kernel`` makes compiled functions of them, ``people`` is the
interface. The reference decode among the tests is the same in plain NumPy.

That is for one scale, with or without flip test, and a tag map per joint. For other ways of testing ``scales`` makes
the full maps, by ``resize``, and ``whole`` searches them; ``fused`` chooses.

Importing this package, and ``filters`` in it, does not import Numba, which takes half a second: what is compiled is
imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from higherhrnet.decode.compilation import COUNT, compile, is_compiled, is_kept
    from higherhrnet.decode.people import Outputs, People, decode, group_peaks, search
    from higherhrnet.decode.scales import decode_image, fused, in_image, people_in_image
    from higherhrnet.decode.tiles import MAGNITUDE_LIMIT

__all__ = [
    "COUNT",
    "MAGNITUDE_LIMIT",
    "VERSION",
    "Outputs",
    "People",
    "compile",
    "decode",
    "decode_image",
    "fused",
    "group_peaks",
    "in_image",
    "is_compiled",
    "is_kept",
    "people_in_image",
    "search",
]

VERSION = 1
"""Of the algorithm; to be increased when equal outputs give other people, where golden tests fail."""

_HOMES = {
    "compilation": ("COUNT", "compile", "is_compiled", "is_kept"),
    "people": ("Outputs", "People", "decode", "group_peaks", "search"),
    "scales": ("decode_image", "fused", "in_image", "people_in_image"),
    "tiles": ("MAGNITUDE_LIMIT",),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a name's module when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found
