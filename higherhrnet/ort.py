"""ONNX Runtime without its telemetry: ``from higherhrnet.ort import onnxruntime``, here and nowhere otherwise.

Since release 1.29 its Linux packages report what is run, names and hashes of models among it, and leave an identifier
and a data base in ~/.cache/Microsoft. A variable of the environment turns that off if it is set before the import (pull
request 27379 of ONNX Runtime). A user's own setting is left as it is.
"""

from __future__ import annotations

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

__all__ = ["onnxruntime"]
