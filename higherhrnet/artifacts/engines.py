"""An engine of TensorRT that is kept, NAME.engine, and NAME.engine.json, which says what it was built of and by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from higherhrnet.artifacts import atomic, sources
from higherhrnet.errors import UserError

_ENGINE = "engine"
_MOST = 100_000  # bytes of the file beside it


def is_of(engine: Path, made: Mapping[str, object]) -> bool:
    """Whether an engine is there as it was built, and of just this."""
    try:
        found = json.loads(sources.read(_record(engine), _MOST))
        return found == {**made, _ENGINE: atomic.sha256(engine)}
    except (OSError, UserError, ValueError, RecursionError):
        return False


def forget(engine: Path) -> None:
    """Take no engine for what it was: another one is going to be built in its place."""
    _record(engine).unlink(missing_ok=True)


def keep(engine: Path, made: Mapping[str, object]) -> None:
    """Say what an engine was built of."""
    atomic.write_json(_record(engine), {**made, _ENGINE: atomic.sha256(engine)})


def _record(engine: Path) -> Path:
    return engine.with_name(engine.name + ".json")
