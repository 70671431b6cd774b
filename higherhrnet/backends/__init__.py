"""What runs the network: one small interface, a module a tool.

A backend gets the inputs of one shape at a time and leaves ``{index:012d}_1.bin`` and ``_2.bin`` in the dump directory
it is told, whatever the tool beneath calls them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from higherhrnet.files import info


@dataclass(frozen=True)
class Work:
    """The inputs of one shape and where their dumps go."""

    shape: tuple[int, int]
    """(H, W)"""
    info_file: Path
    """The shape's .info file; it lists ``entries``, done or not."""
    entries: Sequence[info.Entry]
    dumps: Path
    """An existing directory."""


class Backend(Protocol):
    """Runs the network over the inputs of a shape."""

    name: str
    batch: int
    """Images a call."""
    device: int

    def run(self, work: Work) -> str:
        """Make the two dumps of every entry; return the figures as the benchmark tool's performance text.

        Raises UserError naming what failed; dumps already made stay whole.
        """
        ...
