"""trtexec's commands for an .onnx in INT8, which says itself what is quantized."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest

from higherhrnet.artifacts.work import QuantizedWork
from higherhrnet.backends import trtexec
from higherhrnet.backends.base import INT8
from higherhrnet.errors import UserError
from higherhrnet.model import quantization, quantized

SHAPES = ((128, 128), (128, 192))
OF = QuantizedWork("a" * 64, quantization.TENSORRT, 8, [], None, [0], [], [], 1, "onnxruntime 1")
"""What the file below says it is of."""


@pytest.fixture(scope="module")
def for_tensorrt(tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    source = quantization.load(tiny_onnx)
    ranges = quantization.calibrate(source, [np.ones((1, 3, 64, 64), np.float32)], threads=1)
    return quantization.quantize(source, ranges, quantization.Scheme(quantization.TENSORRT, 8))


def save(model: onnx.ModelProto, file: Path, work: QuantizedWork | None) -> Path:
    """A copy with a record, or as another program's: without one."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if work is not None:
        copy.metadata_props.add(key=quantized.KEY, value=quantized.text(work))
    onnx.save(copy, file)
    return file


@pytest.mark.parametrize("work", [OF, None])
def test_the_engine_is_strongly_typed_and_has_no_calibration(
    for_tensorrt: onnx.ModelProto, tmp_path: Path, work: QuantizedWork | None
):
    """With --fp16 or --int8 beside it TensorRT would choose precisions itself, or refuse."""
    file = save(for_tensorrt, tmp_path / "x_int8.onnx", work)
    (build, _), (measure, _) = trtexec.commands(file, SHAPES, batch=1, device=0, folder=tmp_path)
    flags = {argument.split("=")[0] for argument in build.arguments[1:]}
    assert "--stronglyTyped" in flags
    assert not flags & {"--fp16", "--int8", "--best", "--noTF32", "--calib"}
    assert f"--onnx={file}" in build.arguments
    assert f"--loadEngine={tmp_path / 'x_int8_batchsize_1.engine'}" in measure.arguments
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x_int8.onnx"]  # no float16 model beside it


def test_releases_that_are_always_strongly_typed_get_no_flag(for_tensorrt: onnx.ModelProto, tmp_path: Path):
    """From 11 on trtexec refuses it as unknown."""
    file = save(for_tensorrt, tmp_path / "x_int8.onnx", OF)
    (build, _), _ = trtexec.commands(file, SHAPES, batch=1, device=0, folder=tmp_path, known={"--onnx"})
    assert build.arguments[1].startswith("--onnx=")
    assert build.arguments[2].startswith("--minShapes=")


def test_what_tensorrt_does_not_take_is_refused(for_tensorrt: onnx.ModelProto, tmp_path: Path):
    file = save(for_tensorrt, tmp_path / "x_int8.onnx", OF)
    assert trtexec.precision_of(file) == trtexec.precision_of(file, INT8) == INT8
    with pytest.raises(UserError, match=r"--precision float16: model .* is in INT8, and says so itself"):
        trtexec.commands(file, SHAPES, batch=1, device=0, folder=tmp_path, precision=trtexec.FLOAT16)
    other = save(for_tensorrt, tmp_path / "cpu.onnx", dataclasses.replace(OF, target=quantization.CPU))
    with pytest.raises(UserError, match=r"is quantized for cpu, .* higherhrnet quantize --target tensorrt"):
        trtexec.commands(other, SHAPES, batch=1, device=0, folder=tmp_path)
