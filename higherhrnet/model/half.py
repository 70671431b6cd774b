"""An .onnx that computes in float16, for runtimes that take the precision from the model: TensorRT 11 and newer."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path

import onnx

from higherhrnet.artifacts import atomic, outputs
from higherhrnet.errors import UserError
from higherhrnet.model import fingerprint, onnx_graph
from higherhrnet.model.origin import FLOAT16_OF
from higherhrnet.model.ort import onnxruntime  # noqa: F401  # before its parts, so that it reports nothing


def _is_ours(file: Path) -> bool:
    try:
        return FLOAT16_OF in onnx_graph.metadata(file)
    except UserError:
        return False


def write(source: Path, target: Path, *, flag: str) -> None:
    """Write ``source`` with weights and layers in float16; its input and outputs stay float32.

    Weights beyond the range of float16 become its largest, or 0. ``flag`` is what names another place than ``target``.

    Raises UserError: a model that cannot be converted, or a file of others in its place.
    """
    check = partial(outputs.check, target, flag, ours=_is_ours, inputs=[source], overwrite=None)
    check()
    found = fingerprint.see(source)
    from onnxruntime.transformers.float16 import convert_float_to_float16  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of each weight that is too small
        try:
            made = convert_float_to_float16(onnx.load(source), keep_io_types=True)
        except Exception as e:  # whatever a model of others makes it raise
            reason = " ".join(str(e).split())[:200]
            raise UserError(
                f"model {source} cannot be converted to float16 ({type(e).__name__}: {reason}); give --precision "
                f"float32"
            ) from e
    found.check()
    made.metadata_props.add(key=FLOAT16_OF, value=found.sha256)
    atomic.make_directory(target.parent)
    with atomic.writing(target, check) as file:
        onnx.save(made, file)
