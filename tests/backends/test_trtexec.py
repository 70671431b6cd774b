"""trtexec's commands for an .onnx in INT8, which says itself what is quantized; a profile for each shape."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from higherhrnet.artifacts import trtexec_log
from higherhrnet.artifacts.work import QuantizedWork
from higherhrnet.backends import trtexec
from higherhrnet.backends.base import INT8
from higherhrnet.errors import UserError
from higherhrnet.model import fingerprint, quantization, quantized
from higherhrnet.system import processes
from tests.support.ascend_host import search_path

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


def calls(
    model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, release: str = "9", *, tuned: bool = True
) -> list:
    """The lines that measuring the shapes ran, over the stand-in of a release; '' is 8.5."""
    monkeypatch.setenv("PATH", search_path())
    if release:
        monkeypatch.setenv(f"STAND_IN_TENSORRT_{release}", "1")
    logs: list[str] = []

    def done(shape: tuple[int, int]) -> None:
        logs.append(trtexec_log.path(folder, 1, 0, shape).read_text().splitlines()[0])

    precision = trtexec.FLOAT32 if release == "11" else None  # a float16 model is not what is asked here
    trtexec.run(
        fingerprint.see(model), SHAPES, batch=1, device=0, folder=folder, precision=precision, tuned=tuned, done=done
    )
    return logs


def test_tuned_an_engine_has_a_profile_for_each_shape(tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its three shapes stand right after --profile: trtexec takes them by their places. Each shape runs in its own."""
    build, measure = calls(tiny_onnx, tmp_path, monkeypatch, "11")
    both = [" ".join(f"--{end}Shapes=input:1x3x128x{width}" for end in ("min", "opt", "max")) for width in (128, 192)]
    assert f" --profile=0 {both[0]} --profile=1 {both[1]} --saveEngine=" in build
    assert " --useProfile=0 --shapes=input:1x3x128x128 " in build
    assert "_tuned.engine --useProfile=1 --shapes=input:1x3x128x192 " in measure
    engine = trtexec.engine_path(tiny_onnx, 1, tmp_path, tuned=True)
    assert json.loads(engine.read_text()) == [[[1, 128, 128]] * 3, [[1, 128, 192]] * 3]
    assert json.loads(Path(f"{engine}.json").read_text())["profiles"] == 2


@pytest.mark.slow
def test_tuned_and_other_engines_stay_beside_each_other(
    tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first, _ = calls(tiny_onnx, tmp_path, monkeypatch)
    other, _ = calls(tiny_onnx, tmp_path, monkeypatch, tuned=False)
    again, _ = calls(tiny_onnx, tmp_path, monkeypatch)
    assert "--profile=1" in first
    assert "--saveEngine" in other
    assert "--profile" not in other
    assert "_tuned.engine --useProfile=0 " in again
    assert "--loadEngine" in again
    assert len(list(tmp_path.glob("*.engine"))) == 2


def test_a_trtexec_of_one_profile_is_refused_before_it_runs(
    tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    message = r"^--tune: this trtexec lists no --profile and --useProfile, which TensorRT 9\.1 and newer have"
    with pytest.raises(UserError, match=message):
        calls(tiny_onnx, tmp_path, monkeypatch, "")
    assert list(tmp_path.iterdir()) == []
    (build, _), _ = trtexec.commands(tiny_onnx, SHAPES, batch=1, device=0, folder=tmp_path, tuned=True)
    assert "--profile=1" in build.arguments, "printed for another host, of any release"


@pytest.mark.parametrize(
    ("release", "change", "said"),
    [
        ("8", {}, "Unknown option: --profile 0"),
        ("9", {"--profile=1": "--profile=0"}, "Optimization profile index cannot be the same."),
        ("9", {"--profile=1": "--profile=2"}, "Found invalid or missing shape spec at profile index 1"),
        ("9", {"--profile=0": ""}, "Multiple --minShapes/--optShapes/--maxShapes without --profile are not allowed"),
        ("9", {"--useProfile=0": "--useProfile=2"}, "Selected profile index 2 exceeds the number of profiles"),
        ("9", {"--useProfile=0": "--useProfile=1"}, "is outside of the profile"),
    ],
)
def test_the_stand_in_refuses_what_trtexec_does(
    tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, change: dict[str, str], said: str
):
    """As samples/common/sampleOptions.cpp and sampleInference.cpp of TensorRT's releases have it."""
    monkeypatch.setenv("PATH", search_path())
    monkeypatch.setenv(f"STAND_IN_TENSORRT_{release}", "1")
    (build, log), _ = trtexec.commands(tiny_onnx, SHAPES, batch=1, device=0, folder=tmp_path, tuned=True)
    changed = [change.get(argument, argument) for argument in build.arguments]
    outcome = processes.run(processes.Command(tuple(filter(None, changed))), log=log)
    assert outcome.status == 1
    assert said in trtexec.reason(outcome)
