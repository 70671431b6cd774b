"""ONNX Runtime without its telemetry; it is imported only through ``from higherhrnet.model.ort import onnxruntime``.

Since release 1.29 its Linux packages report what is run, names and hashes of models among it, and leave an identifier
and a database in ~/.cache/Microsoft. An environment variable turns that off if it is set before the import (ONNX
Runtime's pull request 27379). A user's own setting is left as it is.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from higherhrnet.artifacts import sources

__all__ = ["model_source", "onnxruntime"]


def model_source(model: Path) -> str | bytes:
    """What InferenceSession takes of a model: its path, or its content where a locale of ASCII alone spoils that.

    Raises OSError for what is no regular file.
    """
    sources.open_file(model).close()
    try:
        str(model).encode()
    except UnicodeEncodeError:
        return sources.read(model)
    return str(model)
