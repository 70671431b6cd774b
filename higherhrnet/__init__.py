"""HigherHRNet from a PyTorch checkpoint to an accelerator, and measured there.

``Pose`` finds people in pictures, and ``People`` are what it finds (docs/python.md). Importing this package imports
nothing else: they are loaded when they are asked for, so that commands start without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from higherhrnet.pipeline.people import People
    from higherhrnet.pipeline.pose import Pose

__all__ = ["People", "Pose", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load the API (PEP 562)."""
    if name == "Pose":
        from higherhrnet.pipeline.pose import Pose  # noqa: PLC0415

        return Pose
    if name == "People":
        from higherhrnet.pipeline.people import People  # noqa: PLC0415

        return People
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
