"""ais_bench as a backend, against its stand-in: the 2024 version's rules and the 2023 version."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import onnx
import pytest

from higherhrnet.artifacts import perf
from higherhrnet.artifacts.dumps import Heads
from higherhrnet.backends import external
from higherhrnet.backends.ascend import ais_bench, cann_benchmark
from higherhrnet.backends.base import Work
from tests.support.ascend_host import Host, dump_bytes
from tests.support.programs import PLAIN, error

pytestmark = pytest.mark.slow

WIDE = "128x192"


@pytest.fixture
def ais(host: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host without the benchmark tool, with one shape."""
    (host.directory / cann_benchmark.file_name()).unlink()
    host.only(WIDE)
    call = host.benchmark
    monkeypatch.setattr(host, "benchmark", lambda *args: call("--backend", "ais_bench", *args))
    return host


@pytest.mark.parametrize("version", ["2024", "2023"])
def test_the_same_files_as_the_benchmark_tool_s(
    ais: Host,
    expected: Path,
    version: str,
    monkeypatch: pytest.MonkeyPatch,
):
    if version == "2023":
        monkeypatch.setenv("STAND_IN_AIS_OLD", "1")
    outcome = ais.benchmark("--bs", 1)
    assert outcome.status == 0, outcome.err
    assert "backend ais_bench (requested)" in outcome.out
    calls = ais.calls("__main__")
    assert len(calls) == 2
    assert calls[0][1:] == [
        *("--model", "model.om", "--input", "in", "--output", "out", "--output_dirname", "dumps"),
        *("--outfmt", "BIN", "--device", "0", "--dymHW", "128,192", "--batchsize", "1"),
    ]
    ais.same_as(expected)
    (figure,) = perf.find(ais.result)
    assert figure.shape == (128, 192)
    text = perf.path(ais.result, 1, 0, (128, 192)).read_text()
    assert [line.split("]")[0] for line in text.splitlines()] == [
        "[e2e",
        "[data read",
        "[preprocess",
        "[infer",
        "[post",
    ]


def test_the_throughput_comes_from_the_log_where_there_is_no_summary(ais: Host, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STAND_IN_AIS_NO_SUMMARY", "1")
    assert ais.benchmark().status == 0
    log = (ais.result / f"logs/ais_bench_bs1_device_0_{WIDE}.log").read_text()
    said = next(line for line in log.splitlines() if "throughput 1000*batchsize" in line)
    (figure,) = perf.find(ais.result)
    assert figure.images_per_second == pytest.approx(float(said.rpartition(":")[2]), rel=1e-5)


def test_a_summary_without_the_throughput_is_no_crash(tmp_path: Path):
    backend = ais_bench.AisBench(external.Setting(Path("a.om"), 1, Heads(17, 17), (1024, 512), tmp_path))
    work = Work((512, 512), (), tmp_path)
    (work.private / "out").mkdir(parents=True)
    (work.private / "out/dumps_summary.json").write_text("{}")
    with pytest.raises(ValueError, match="no throughput"):
        backend._figures(work, None)


def test_rights_links_and_characters_do_not_matter(
    ais: Host,
    expected: Path,
    tmp_path: Path,
):
    """Inputs that the group may write, a linked tree and model, blanks and Chinese: the tool gets what it takes."""
    first = Path((ais.directory / f"prep_bin_{WIDE}.info").read_text().split()[1])
    for name, tree in (("prep_bin", "bins"), ("prep_bin_flip", "bins_flip")):
        source = first.parents[2] / tree
        copy = tmp_path / "输入 of group" / tree
        shutil.copytree(source, copy)
        for file in copy.rglob("*.bin"):
            file.chmod(0o664)
        (tmp_path / f"link {tree}").symlink_to(copy)
        file = ais.directory / f"{name}_{WIDE}.info"
        file.write_text(file.read_text().replace(str(source), str(tmp_path / f"link {tree}")))
    om = ais.directory / "models/tiny_bs1_dynamic.om"
    om.chmod(0o666)
    (tmp_path / "模型.om").symlink_to(om)
    umask = os.umask(0o002)
    try:
        outcome = ais.benchmark("--model", tmp_path / "模型.om", "--result", tmp_path / "结 果")
    finally:
        os.umask(umask)
    assert outcome.status == 0, outcome.err
    shutil.move(tmp_path / "结 果", ais.result)
    ais.same_as(expected)


def test_dynamic_dims(ais: Host, expected: Path):
    outcome = ais.benchmark("--dynamic", "dims", "--soc_version", "Ascend310P3")
    assert outcome.status == 0, outcome.err
    (atc,) = ais.calls("atc")
    assert "--input_format=ND" in atc
    assert "--dynamic_dims=256,128;192,128;128,128;128,192;128,256" in atc
    assert "--output=models/tiny_bs1_dynamic_dims" in atc
    call = ais.calls("__main__")[0]
    assert call[call.index("--auto_set_dymdims_mode") + 1] == "1"
    assert "--dymHW" not in call
    ais.same_as(expected)


def test_dynamic_dims_in_batches(ais: Host):
    """The auto mode runs file by file; a profile given by name takes as many as its batch."""
    models = ais.directory / "models"
    model = onnx.load(str(models / "tiny_bs1_dynamic.onnx"))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"  # as --bs -1 exports it
    for file in models.iterdir():
        file.unlink()
    onnx.save(model, str(models / "tiny_bs-1_dynamic.onnx"))
    outcome = ais.benchmark("--dynamic", "dims", "--bs", 2, "--soc_version", "310P3")
    assert outcome.status == 0, outcome.err
    call = ais.calls("__main__")[0]
    assert call[call.index("--dymDims") + 1] == "input:2,3,128,192"
    log = (ais.result / f"logs/ais_bench_bs2_device_0_{WIDE}.log").read_text()
    mean = float(re.findall(r"NPU_compute_time .* mean = (\S+)", log)[0])
    (figure,) = perf.find(ais.result)  # three images, the second batch half empty: of full batches all the same
    assert figure.images_per_second == pytest.approx(2000 / mean, rel=1e-5)
    assert ais.benchmark("--backend", "onnxruntime", "--bs", 2, "--threads", 1, "--result", "other").status == 0
    name = PLAIN.replace("bs1", "bs2")
    assert len(dump_bytes(ais.result / name)) == 6
    assert dump_bytes(ais.result / name) == dump_bytes(ais.directory / "other" / name)


def test_an_om_of_the_other_gears_is_explained(ais: Host):
    outcome = ais.benchmark("--dynamic", "dims", "--model", "models/tiny_bs1_dynamic.om")
    assert "was made without --dynamic dims, says models/tiny_bs1_dynamic.om.json; omit it" in error(outcome)
    (ais.directory / "models/tiny_bs1_dynamic.om.json").unlink()  # as of one that was converted by hand
    outcome = ais.benchmark("--dynamic", "dims", "--model", "models/tiny_bs1_dynamic.om")
    assert "device 0, shape 128x192: ais_bench ended with status 1, 0 of 3 images made" in error(outcome)
    assert "[ERROR] the dynamic_dims parameter is not specified for model conversion" in outcome.err


def test_dims_do_not_go_with_the_benchmark_tool_and_aipp(ais: Host):
    assert (
        "goes with --backend ascend and ais_bench" in ais.benchmark("--backend", "benchmark", "--dynamic", "dims").err
    )
    for more in ("--convert_only",), ("--model", "models/tiny_bs1_dynamic.om"):
        assert "does not go with --dynamic dims" in ais.benchmark("--aipp", "--dynamic", "dims", *more).err


def test_a_crash_keeps_what_was_made(ais: Host, expected: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STAND_IN_FAULT", "crash:2")
    outcome = ais.benchmark()
    assert "ais_bench ended with status 3, 2 of 3 images made and kept; 000000000006_0.bin is missing" in outcome.err
    monkeypatch.delenv("STAND_IN_FAULT")
    outcome = ais.benchmark()
    assert outcome.status == 0
    assert "2 of 6 dumps were there" in outcome.out
    ais.same_as(expected)


def test_without_ais_bench_it_says_what_to_install(ais: Host, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [p for p in sys.path if not p.endswith("stand_ins")])
    for name in [name for name in sys.modules if name.partition(".")[0] == "ais_bench"]:  # of an earlier test
        monkeypatch.delitem(sys.modules, name)
    assert "ais_bench is not installed" in ais.benchmark("--backend", "ais_bench").err
    outcome = ais.benchmark("--backend", "auto", "--print_commands")
    assert "backend onnxruntime (npu-smi is here, but benchmark." in outcome.out
