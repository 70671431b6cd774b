"""Where the files of a scale lie: those of a scale other than 1 under a name that ends in _scale{factor}."""

from __future__ import annotations

import os
from pathlib import Path

from higherhrnet.errors import UserError


def beside(path: Path, factor: float) -> Path:
    """A folder or name for the files of a scale: ``path`` itself at scale 1, beside it at others.

    Raises UserError: a path that has nothing beside it, as /.
    """
    if factor == 1:
        return path
    named = path if path.name not in {"", ".."} else Path(os.path.realpath(path))
    if not named.name:
        raise UserError(f"{path} has nothing beside it for the files of scale {factor:g}; give a folder below")
    return named.with_name(f"{named.name}_scale{factor:g}")
