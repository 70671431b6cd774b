"""The openvino backend: its outputs are ONNX Runtime's, memory stays flat, and what it refuses."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

pytest.importorskip("openvino")

from higherhrnet.artifacts import dumps, info, perf
from higherhrnet.backends import factory
from higherhrnet.backends import openvino as backend
from higherhrnet.backends.base import Work
from higherhrnet.backends.onnxruntime import OnnxRuntime
from higherhrnet.errors import UserError
from higherhrnet.system import memory
from tests.support.networks import relative, with_batch

SHAPES = ((64, 64), (64, 128), (128, 64), (64, 192))


@pytest.fixture(scope="module")
def model(tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in a folder of its own: compiled models are left beside it."""
    path = tmp_path_factory.mktemp("openvino") / "tiny.onnx"
    path.write_bytes(tiny_onnx.read_bytes())
    return path


@pytest.fixture(scope="module")
def made(model: Path) -> backend.OpenVino:
    return backend.OpenVino(model, batch=1, threads=1)


def images(shape: tuple[int, int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((1, 3, *shape), dtype=np.float32)


@pytest.mark.slow
def test_outputs_are_onnx_runtimes_whatever_is_in_flight(made: backend.OpenVino, model: Path):
    """All slots are launched before the first is waited for; each gives its own input's outputs."""
    reference = OnnxRuntime(model, batch=1, threads=1)
    assert made.name == "openvino cpu float32"
    assert made.heads == reference.heads
    for shape in SHAPES[:2]:
        session, other = made.open(shape), reference.open(shape)
        slots = range(len(session.sources))
        for slot in slots:
            session.sources[slot][:] = images(shape, slot)
            session.launch(slot)
        for slot in slots:
            taken = session.wait(slot)
            assert taken.infer >= taken.execute > 0
            other.sources[0][:] = images(shape, slot)
            other.launch(0)
            other.wait(0)
            for ours, theirs in zip(session.results[slot], other.results[0], strict=True):
                assert relative(ours, theirs) < 1e-5  # float32 sums in another order


@pytest.mark.slow
def test_dumps_and_figures_are_those_of_every_backend(made: backend.OpenVino, tmp_path: Path):
    entries = [info.Entry(tmp_path / f"{i:012d}.bin", width=64, height=64) for i in range(6)]
    for i, entry in enumerate(entries):
        images((64, 64), i).tofile(entry.path)
    (tmp_path / "dumps").mkdir()
    text = made.run(Work((64, 64), entries, tmp_path / "dumps"))[64, 64]
    assert perf.parse(text, Path("x")) > 0
    session = made.open((64, 64))
    for i, entry in enumerate(entries):
        session.sources[0][:] = images((64, 64), i)
        session.launch(0)
        session.wait(0)
        for k in (0, 1):
            found = np.fromfile(tmp_path / f"dumps/{entry.path.stem}_{k + 1}.bin", np.float32)
            assert np.array_equal(found, session.results[0][k].ravel())


def test_the_compiled_model_is_kept_and_bounded(model: Path):
    cache = backend.cache_of(model)
    for threads in range(1, backend.KEPT_BLOBS + 3):
        backend.OpenVino(model, batch=1, threads=threads)
    assert 1 <= len(list(cache.glob("*/*.blob"))) <= backend.KEPT_BLOBS
    for blob in cache.glob("*/*.blob"):  # a damaged one is compiled again
        blob.chmod(0o600)
        blob.write_bytes(b"damaged")
    assert backend.OpenVino(model, batch=1, threads=1).heads.joints == 17


def test_what_was_compiled_of_another_content_is_not_taken(model: Path, tmp_path: Path):
    """Of equal name, size and time, as a model that is exported again and touched."""
    copy = tmp_path / "model.onnx"
    shutil.copy2(model, copy)
    status = copy.stat()
    outputs = []
    for factor in (1, 2):
        made = onnx.load(copy)
        weight = made.graph.initializer[0]
        weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * factor, weight.name))
        copy.write_bytes(made.SerializeToString())
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
        session = backend.OpenVino(copy, batch=1, threads=1).open((64, 64))
        session.sources[0][:] = images((64, 64), 0)
        session.launch(0)
        session.wait(0)
        outputs.append(session.results[0][0].copy())
    assert relative(outputs[1], outputs[0]) > 1e-3
    assert len(list(backend.cache_of(copy).glob("*/*.blob"))) == 2


def test_a_folder_of_others_is_no_cache(tmp_path: Path):
    for number in range(backend.KEPT_BLOBS + 1):
        (tmp_path / f"{number}.blob").touch()
    (tmp_path / "model").touch()
    core = SimpleNamespace(compile_model=lambda _model, _device, options: options)
    assert backend._compiled(core, tmp_path / "model", backend.CPU, {}, tmp_path, "key") == {}
    assert len(list(tmp_path.glob("*.blob"))) == backend.KEPT_BLOBS + 1


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(model: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert backend.OpenVino(model, batch=1, threads=1).heads.joints == 17


def test_memory_is_flat_over_shapes(made: backend.OpenVino):
    """After a first round over all shapes; a request or a cache entry per call would show."""

    def round_() -> float:
        for shape in SHAPES * 3:
            session = made.open(shape)
            session.launch(0)
            session.wait(0)
        return memory.peak_mb()

    before = round_()
    for _ in range(5):
        after = round_()
    assert after - before < 20  # MB; an unbounded leak of the buffers alone would be 60 times 4 MB


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"precision": "int8"}, "is not quantized; make its INT8 file with higherhrnet quantize"),
        ({"device": "NPU7"}, "--device NPU7: OpenVINO sees CPU"),
        ({"batch": 2}, "takes batches of 1, not 2"),
    ],
)
def test_what_cannot_run_is_refused(model: Path, options: dict, said: str):
    with pytest.raises(UserError, match=said):
        backend.OpenVino(model, **{"batch": 1, **options})


def test_a_damaged_file_is_said_in_a_line(model: Path, tmp_path: Path):
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(model.read_bytes()[:4000])
    with pytest.raises(UserError) as refused:
        backend.OpenVino(damaged, batch=1)
    assert "\n" not in str(refused.value)


def test_a_precision_that_this_cpu_does_not_have_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(backend._CAPABILITIES, "bfloat16", "NOT_THERE")
    with pytest.raises(UserError, match=r"--precision bfloat16: this CPU .* computes in float32"):
        backend.OpenVino(model, batch=1, precision="bfloat16")


def test_a_lower_precision_tells_what_float32_would_have_given(model: Path, monkeypatch: pytest.MonkeyPatch):
    """Compiled where it is asked for: of two pictures in a batch the first one's outputs."""
    monkeypatch.setitem(backend._CAPABILITIES, "bfloat16", "FP32")  # which this CPU may not have, and then computes
    of_two = with_batch(model, 2, model.parent / "two" / "tiny.onnx")
    hints: list[str] = []
    real = backend._compiled

    def compiled(core: Any, file: Path, device: str, options: dict, *more: Any) -> Any:
        hints.append(options["INFERENCE_PRECISION_HINT"])
        return real(core, file, device, options, *more)

    monkeypatch.setattr(backend, "_compiled", compiled)
    assert not backend.OpenVino(of_two, batch=2, threads=1).has_exact
    made, reference = backend.OpenVino(of_two, batch=2, precision="bfloat16", threads=1), OnnxRuntime(of_two, batch=2)
    assert made.has_exact
    assert hints == ["f32", "bf16"]
    for shape in SHAPES[:2]:
        session, other = made.open(shape), reference.open(shape)
        session.sources[1][:] = other.sources[0][:] = np.concatenate([images(shape, seed) for seed in (0, 1)])
        session.launch(1)
        session.wait(1)
        other.launch(0)
        for ours, theirs in zip(session.exact(1), other.results[0], strict=True):
            assert len(ours) == 1
            assert relative(ours, theirs[:1]) < 1e-5
    assert hints == ["f32", "bf16", "f32"], "once for all shapes"


def test_it_is_made_by_name_and_missing_in_a_line(model: Path, monkeypatch: pytest.MonkeyPatch):
    heads = dumps.Heads(17, 17)
    found = factory.in_process("openvino", model, {}, heads=heads, batch=1, threads=1)
    assert isinstance(found, backend.OpenVino)
    monkeypatch.setattr(factory, "is_installed", lambda name: name != "openvino")
    with pytest.raises(UserError, match="openvino is not installed"):
        factory.in_process("openvino", model, {}, heads=heads, batch=1)
