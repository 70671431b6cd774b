"""Which backend --backend auto takes, and what it says of it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from higherhrnet.artifacts.work import QuantizedWork
from higherhrnet.backends import select
from higherhrnet.backends.ascend import ais_bench, cann_benchmark
from higherhrnet.backends.choices import InferenceOptions
from higherhrnet.config import loader
from higherhrnet.errors import UserError
from higherhrnet.model.quantized import Quantized
from tests.support.datasets import TINY_CONFIG

TOOL = cann_benchmark.file_name()


@pytest.fixture
def choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Choose on a host that has what the arguments say."""

    def call(*, npu: bool = False, om: bool = False, tool: bool = False, modules: str = "") -> tuple[str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(select.chip, "is_present", lambda: npu)
        monkeypatch.setattr(select, "is_installed", lambda name: name in modules.split())

        def missing(*, in_process: bool = False) -> str:
            if "ais_bench" not in modules.split():
                return "ais_bench is not installed"
            return "it has no ais_bench.infer.interface" if in_process and "interface" not in modules else ""

        monkeypatch.setattr(select.ais_bench, "missing", missing)
        if tool:
            (tmp_path / TOOL).touch()
        chosen = select.choose("auto", om=om)
        return chosen.name, chosen.why

    return call


def test_on_ascend_the_benchmark_tool_comes_first(choose):
    assert choose(npu=True, tool=True, modules="ais_bench onnxruntime") == (
        "benchmark",
        f"npu-smi is here, and {TOOL}",
    )


def test_an_om_is_a_sign_of_ascend_too(choose):
    assert choose(om=True, tool=True) == ("benchmark", f"an .om is here, and {TOOL}")


def test_then_ais_bench_in_process_where_it_has_an_interface(choose):
    name, why = choose(om=True, modules="ais_bench interface onnxruntime")
    assert name == "ascend"
    assert why == f"an .om is here, ais_bench is installed, {TOOL} is not here"
    name, why = choose(om=True, modules="ais_bench onnxruntime")
    assert name == "ais_bench"
    assert why == f"an .om is here, ais_bench is installed, {TOOL} is not here; it has no ais_bench.infer.interface"


def test_elsewhere_onnxruntime(choose):
    assert choose(npu=True, modules="onnxruntime") == (
        "onnxruntime",
        f"npu-smi is here, but {TOOL} is not, and ais_bench is not installed",
    )
    assert choose(tool=True, modules="ais_bench onnxruntime") == ("onnxruntime", "neither npu-smi nor an .om is here")


def test_nothing_is_explained(choose):
    with pytest.raises(UserError, match="nothing here can run the network: found no onnxruntime"):
        choose(modules="ais_bench")


def test_a_tool_that_was_named_but_is_not_there_is_an_error(tmp_path: Path):
    with pytest.raises(UserError, match=r"benchmark tool .*/typo is not there"):
        select.choose("auto", om=True, benchmark_path=tmp_path / "typo")


def test_what_is_requested_is_taken():
    assert select.choose("ais_bench", om=False) == select.Choice("ais_bench", "requested")


@pytest.mark.parametrize(
    ("files", "found", "in_process"),
    [
        ([], "ais_bench is not installed", ""),
        (["ais_bench/__init__.py"], "is another package: it has no ais_bench.infer", ""),  # of language models
        (["ais_bench/__init__.py", "ais_bench/infer/__init__.py"], "is installed without aclruntime", ""),
        (["ais_bench/infer/__init__.py", "aclruntime.py"], "", "has no ais_bench.infer.interface"),
        (["ais_bench/infer/interface.py", "aclruntime.py"], "", ""),
    ],
)
def test_only_ascend_s_own_ais_bench_counts(
    files: list[str], found: str, in_process: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('it is not imported')")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for name in [name for name in sys.modules if name.partition(".")[0] in {"ais_bench", "aclruntime"}]:
        monkeypatch.delitem(sys.modules, name)  # stand-ins that other tests have imported
    importlib.invalidate_caches()
    assert found in ais_bench.missing()
    assert bool(ais_bench.missing()) == bool(found)
    assert (found or in_process) in ais_bench.missing(in_process=True)
    assert bool(ais_bench.missing(in_process=True)) == bool(found or in_process)


def test_auto_says_what_else_could_run_it(choose):
    """It never takes openvino by itself."""
    name, why = choose(modules="onnxruntime openvino")
    assert name == "onnxruntime"
    assert why == "neither npu-smi nor an .om is here; --backend openvino could run it too"


def quantized(target: str = "cpu", bits: int = 7) -> Quantized:
    return Quantized(QuantizedWork("a" * 64, target, bits, [], None, [0], [], [], 1, "onnxruntime 1"))


def test_what_int8_means_on_this_cpu_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(select.hardware, "multiplies_int8", lambda: True)
    assert select.quantized_remarks(quantized(bits=8)) == []
    assert "nothing says what it was calibrated on" in select.quantized_remarks(Quantized(None))[0]
    assert "signed activations are slow on CPUs" in select.quantized_remarks(quantized("tensorrt"))[0]
    monkeypatch.setattr(select.hardware, "multiplies_int8", lambda: False)
    (said,) = select.quantized_remarks(quantized())
    assert "no VNNI" in said
    assert "overflow" in select.quantized_remarks(quantized(bits=8))[1]


def test_a_gpu_s_memory_is_made_for_the_configuration_s_largest_shape(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Or it would be made anew for every shape that is larger than those before."""
    given: dict[str, object] = {}

    def make(*_: object, **options: object) -> SimpleNamespace:
        given.update(options)
        return SimpleNamespace(has_devices=True)

    monkeypatch.setattr(select.factory, "in_process", make)
    options = InferenceOptions(backend="torch", model=tiny_weights)
    for more, largest in (((), (256, 128)), (("DATASET.INPUT_SIZE", "192"), (384, 192))):
        inference = select.Inference(options, loader.load(TINY_CONFIG, more))
        inference.backend("torch", tiny_weights, logs=tmp_path, done=lambda _: None)
        assert given["largest"] == largest
