"""HigherHRNet_performance.py: tables of several sources, measured ones, trtexec's, and the chart."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from higherhrnet.artifacts import perf, seen
from higherhrnet.backends import trtexec
from higherhrnet.backends.in_process import Seconds
from higherhrnet.errors import UserError
from higherhrnet.image import geometry
from higherhrnet.model.ort import onnxruntime
from higherhrnet.report import chart, published
from higherhrnet.report.tables import Column
from higherhrnet.stages import measure
from higherhrnet.system import processes
from tests.support.ascend_host import search_path
from tests.support.datasets import TINY_CONFIG, TINY_IMAGES, TINY_SIDE
from tests.support.programs import Outcome, error

Script = Callable[..., Outcome]
GUIDE = published.load()
SMALL = ("--cfg", TINY_CONFIG, "--threads", 1, "--rounds", 4, "--warm_up", 1)


@pytest.fixture
def guide_files(tmp_path: Path) -> Path:
    """Result directories with the guide's figures; the 310's are of one chip, as the benchmark tool leaves them."""
    for name, column in GUIDE.columns.items():
        (tmp_path / name).mkdir()
        for shape, value in column.cells.items():
            text = perf.execute_only(value / (4 if name == "310" else 1))
            perf.path(tmp_path / name, 1, 0, shape).write_text(text)
    return tmp_path


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_guide_s_table_comes_from_perf_files(guide_files: Path, script: Script):
    outcome = script(
        "HigherHRNet_performance",
        *("--result", *(guide_files / name for name in GUIDE.columns)),
        *("--label", *GUIDE.columns, "--chips_per_card", "310", 4),
        *(word for ratio in GUIDE.ratios for word in ("--ratio", *ratio.of)),
        *("--format", "markdown"),
    )
    header, _, *rows, summary, _, note = outcome.out.splitlines()
    assert cells(header) == [
        *("Input Shape", "310", "310P", "310P/310", "310P_tuned", "310P_tuned/310", "T4", "310P_tuned/T4")
    ]
    slips = {(s.of, s.shape): s.computed for s in published.slips(GUIDE)}
    for row, shape in zip(rows, GUIDE.columns["310"].cells, strict=True):
        figures = [f"{GUIDE.columns[name].cells[shape]:.0f}" for name in ("310", "310P", "310P_tuned", "T4")]
        ratios = [slips.get((r.of, shape), f"{r.cells[shape]:.2f}") for r in GUIDE.ratios]
        expected = [figures[0], figures[1], ratios[0], figures[2], ratios[1], figures[3], ratios[2]]
        assert cells(row) == [f"({shape[0]},{shape[1]})", *expected]
    assert cells(summary) == [
        *("avg/min/max", "124/87/196", "106/86/172", "0.88/0.64/1.23", "179/126/262", "1.45/1.34/1.59"),
        *("27/20/39", "6.65/6.24/7.15"),
    ]
    assert note == "note: 310: a card of 4 chips, 4 times the figures of one"


def test_published_columns_are_marked_and_divide_what_is_measured(guide_files: Path, script: Script):
    outcome = script("HigherHRNet_performance", "--result", guide_files / "310P_tuned", "--published", "310", "T4")
    assert outcome.out.splitlines()[0].split("  ")[-1].strip() == "310P_tuned/T4 (published)"
    assert re.search(r"^\(512,512\) +262 +196 +1\.34 +39 +6\.72$", outcome.out, re.MULTILINE)
    assert outcome.out.endswith("note: (published): figures of the guide, not measured here\n")
    outcome = script(
        *("HigherHRNet_performance", "--result", guide_files / "310", "--published", "310P_tuned", "T4"),
        *("--ratio", "310P_tuned", "T4"),
    )
    assert "310P_tuned/T4: the guide divided before it rounded, and prints 6.71 for 6.72 at (512,512)" in outcome.out


def test_averages_of_published_columns_are_over_the_shapes_measured(guide_files: Path, script: Script):
    for file in (guide_files / "310P").glob("*_1024x512.txt"):
        file.unlink()
    out = script("HigherHRNet_performance", "--result", guide_files / "310P", "--published", "T4").out
    assert "(1024,512)" not in out
    assert re.search(r"^avg/min/max +105/86/172 +27/20/39 ", out, re.MULTILINE)


def test_csv_and_json(guide_files: Path, script: Script):
    where = ("--result", guide_files / "310P", guide_files / "T4")
    rows = list(csv.reader(io.StringIO(script("HigherHRNet_performance", *where, "--format", "csv").out)))
    assert rows[:2] == [["shape HxW", "310P", "T4", "310P/T4"], ["512x512", "172", "39", "4.41026"]]
    content = json.loads(script("HigherHRNet_performance", *where, "--format", "json").out)
    assert [c["label"] for c in content["columns"]] == ["310P", "T4", "310P/T4"]
    assert content["columns"][2]["figures"]["512x512"] == 172 / 39


def test_wrong_flags_are_named(guide_files: Path, script: Script, tmp_path: Path):
    def call(*arguments: object) -> str:
        return error(script("HigherHRNet_performance", *arguments))

    both = ("--result", guide_files / "310", guide_files / "T4")
    assert "--label names 1 of 2 sources" in call(*both, "--label", "310")
    assert "two columns are called x" in call(*both, "--label", "x", "x")
    assert "--chips_per_card 310P 4: the columns are" not in call(*both, "--chips_per_card", "310P", "4.5")
    assert "expected a whole number" in call(*both, "--chips_per_card", "310", "0")
    assert "names 310 2 times" in call(*both, "--chips_per_card", "310", 4, "--chips_per_card", "310", 2)
    assert "--chips_per_card 910: the columns are 310, T4" in call(*both, "--chips_per_card", "910", 4)
    assert "--ratio 310 910: the columns are 310, T4" in call(*both, "--ratio", "310", "910")
    assert "--published V100: the guide's columns are" in call(*both, "--published", "V100")
    assert "does not exist" in call("--result", tmp_path / "none")
    assert "--shapes 512x513: expected those of DATASET.INPUT_SIZE 512: 1024x512" in call(
        "--backend", "onnxruntime", "--shapes", "512x513"
    )
    assert "--precision is for --backend torch" in call(
        *("--backend", "onnxruntime", "--precision", "float16", "--model", "x.onnx")
    )
    assert "--print_commands goes with --backend" in call("--print_commands")
    assert "--result has no effect with --compare" in call("--compare", "a", "b", "--result", "c")


# Measuring


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_measuring_leaves_the_table_percentiles_and_performance_files(
    backend: str,
    tiny_weights: Path,
    tiny_onnx_of_any_batch: Path,
    script: Script,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    from tests.support.networks import with_batch  # noqa: PLC0415

    (tmp_path / "models").mkdir()
    shutil.copy(tiny_weights, tmp_path / "models/tiny.pth")
    for batch in (1, 3):
        with_batch(tiny_onnx_of_any_batch, batch, tmp_path / f"models/tiny_bs{batch}_dynamic.onnx")
    out = script(
        *("HigherHRNet_performance", "--backend", backend, *SMALL, "--bs", "1,3", "--shapes", "128x128,192x128"),
        *("--save", "figures", "--label", "x", "--format", "json"),
    ).out
    content = json.loads(out)
    assert [(c["label"], c["batch"]) for c in content["columns"]] == [("x bs1", 1), ("x bs3", 3)]
    for column in content["columns"]:
        assert list(column["figures"]) == ["128x128", "192x128"]
        for shape, rate in column["figures"].items():
            times = column["percentiles_ms"][shape]
            assert 0 < times["50"] <= times["90"] <= times["99"]
            # The mean of four lies between the least and the largest; the 99th per cent is the largest.
            assert 1000 * column["batch"] / rate <= times["99"] * 1.001
    assert content["notes"] == ["x: measured on random input"]
    again = script("HigherHRNet_performance", "--result", "figures", "--format", "json").out
    for old, new in zip(content["columns"], json.loads(again)["columns"], strict=True):
        assert new["figures"] == pytest.approx(old["figures"], rel=1e-5)  # six digits


def test_measuring_on_real_inputs_takes_their_shapes(tiny_inputs: Path, tiny_onnx: Path, script: Script):
    outcome = script(
        *("HigherHRNet_performance", "--backend", "onnxruntime", "--model", tiny_onnx, *SMALL),
        *("--info", tiny_inputs / "prep_bin"),
    )
    shapes = {file.stem.rpartition("_")[2] for file in tiny_inputs.glob("prep_bin_[0-9]*.info")}
    found = re.findall(r"^\((\d+),(\d+)\)", outcome.out.partition("ms per batch")[0], re.MULTILINE)
    assert {f"{h}x{w}" for h, w in found} == shapes
    assert "note: onnxruntime: measured on real input" in outcome.out


class Clocked:
    """A backend whose batches take what it is told, in seconds; it keeps the first value of each image it is given."""

    name, runtime, batch, model_hash = "clocked", "clock 1", 2, ""

    def __init__(self, seconds: list[float]) -> None:
        self.sources = [np.empty((self.batch, 3, 32, 64), np.float32)]
        self.opened: list[tuple[tuple[int, int], int]] = []
        self.given: list[list[float]] = []
        self._seconds = seconds

    def open(self, shape: tuple[int, int], device: int) -> Clocked:
        self.opened.append((shape, device))
        return self

    def launch(self, slot: int) -> None:
        self.given.append(self.sources[slot][:, 0, 0, 0].tolist())

    def wait(self, slot: int) -> Seconds:
        return Seconds(infer=1000.0, execute=self._seconds[len(self.given) - 1])


def test_what_is_measured_by_hand(tmp_path: Path):
    """The first batch warms up; then 8 images in 1 + 3 + 2 + 4 s. Three files, in turn, fill five batches of two."""
    files = [tmp_path / f"{k:012d}.bin" for k in range(3)]
    for k, file in enumerate(files):
        np.full((3, 32, 64), k, np.float32).tofile(file)
    backend, asked, ticks = Clocked([100, 1, 3, 2, 4]), [], []

    def make(model: Path, *, batch: int) -> Clocked:
        asked.append((model, batch))
        return backend

    model = tmp_path / "m.pth"
    model.write_bytes(b"a model")
    by_shape, stamps = {(32, 64): files}, seen.look(files)
    job = measure.MeasureJob({2: model}, [(32, 64)], 5, rounds=4, warm_up=1, files=by_shape, stamps=stamps)
    name, (figure,) = measure.in_process(job, make, save=tmp_path / "kept", done=lambda: ticks.append(1))  # type: ignore[arg-type]
    assert (name, asked, backend.opened, ticks) == ("clocked", [(model, 2)], [((32, 64), 5)], [1])
    assert figure == perf.Perf(2, 5, (32, 64), 0.8, {50: 2000.0, 90: 4000.0, 99: 4000.0})
    assert backend.given == [[0, 1], [2, 0], [1, 2], [0, 1], [2, 0]]
    assert perf.find(tmp_path / "kept") == [perf.Perf(2, 5, (32, 64), 0.8)]


# trtexec


@pytest.fixture
def with_trtexec(tmp_path: Path, tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", search_path())
    (tmp_path / "models").mkdir()
    shutil.copy(tiny_onnx, tmp_path / "models/tiny_bs1_dynamic.onnx")
    return tmp_path


def test_figures_are_of_the_gpu_that_device_names(tiny_onnx: Path, script: Script, monkeypatch: pytest.MonkeyPatch):
    """Their files' names, and what computes."""
    seen: list[tuple[int, int]] = []

    def in_process(job: measure.MeasureJob, make: Any, **_: object) -> None:
        seen.append((job.device, make.keywords["device"]))
        raise UserError("enough")

    monkeypatch.setattr(measure, "in_process", in_process)
    call = ("HigherHRNet_performance", "--backend", "onnxruntime", "--model", tiny_onnx, *SMALL)
    for more in ((), ("--device", "cuda:2"), ("--device_id", 3), ("--device", "cuda", "--device_id", 3)):
        assert "enough" in error(script(*call, *more))
    assert seen == [(0, 0), (2, 2), (3, 3), (3, 3)]
    assert "--device cuda:2 names a GPU, and so do" in error(script(*call, "--device", "cuda:2", "--device_id", 3))


@pytest.mark.slow
def test_trtexec_is_run_and_its_logs_are_read_again(
    with_trtexec: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    outcome = script("HigherHRNet_performance", "--backend", "trtexec", "--cfg", TINY_CONFIG)
    assert outcome.status == 0, outcome
    assert outcome.out.count(" 125\n") == 5
    assert re.search(r"^ms per batch +trtexec p50 +trtexec p90 +trtexec p99$", outcome.out, re.MULTILINE)
    assert re.search(r"^\(128,128\) +8\.20 +8\.50 +9\.00$", outcome.out, re.MULTILINE)
    assert "125" in script("HigherHRNet_performance", "--result", "result/trtexec", "--label", "V100").out
    monkeypatch.setenv("STAND_IN_TENSORRT_FAIL", "1")
    assert "trtexec ended with status 1 at shape 128x128" in error(
        script("HigherHRNet_performance", "--backend", "trtexec", "--cfg", TINY_CONFIG)
    )
    monkeypatch.setenv("PATH", "")
    assert "trtexec is not on PATH" in error(
        script("HigherHRNet_performance", "--backend", "trtexec", "--cfg", TINY_CONFIG)
    )


@pytest.mark.slow
def test_an_engine_is_built_once_for_what_it_is_of(with_trtexec: Path, script: Script):
    """Another call loads it; other shapes, --overwrite, or what is not as it was written, builds anew."""
    folder = with_trtexec / "result/trtexec"

    def first_line(*more: object, shapes: str = "128x128") -> str:
        outcome = script(
            "HigherHRNet_performance", "--backend", "trtexec", "--cfg", TINY_CONFIG, "--shapes", shapes, *more
        )
        assert outcome.status == 0, outcome
        return (folder / "trtexec_batchsize_1_device_0_128x128.log").read_text().splitlines()[0]

    assert "--saveEngine" in first_line()
    assert "--loadEngine" in first_line()
    assert "--saveEngine" in first_line("--overwrite")
    engine = folder / "tiny_bs1_dynamic_batchsize_1.engine"
    engine.write_text(engine.read_text() + " ")
    assert "--saveEngine" in first_line(), "it is not what was built"
    assert "--loadEngine" in first_line()
    assert "--saveEngine" in first_line(shapes="128x128,128x256")
    Path(f"{engine}.json").write_text("{")
    assert "--saveEngine" in first_line(shapes="128x128,128x256")


def test_trtexec_s_commands_bound_all_17_shapes(with_trtexec: Path, script: Script):
    outcome = script("HigherHRNet_performance", "--backend", "trtexec", "--print_commands")
    folder, first, *rest = outcome.out.splitlines()
    assert folder == "mkdir -p result/trtexec"
    assert first == (
        "trtexec --onnx=models/tiny_bs1_dynamic.onnx --fp16 --minShapes=input:1x3x512x512 "
        "--optShapes=input:1x3x512x512 --maxShapes=input:1x3x1024x1024 "
        "--saveEngine=result/trtexec/tiny_bs1_dynamic_batchsize_1.engine --shapes=input:1x3x512x512 --device=0 "
        "--useCudaGraph --useSpinWait --noDataTransfers > result/trtexec/trtexec_batchsize_1_device_0_512x512.log 2>&1"
    )
    assert len(rest) == 16
    assert rest[1] == (
        "trtexec --loadEngine=result/trtexec/tiny_bs1_dynamic_batchsize_1.engine --shapes=input:1x3x1024x512 "
        "--device=0 --useCudaGraph --useSpinWait --noDataTransfers "
        "> result/trtexec/trtexec_batchsize_1_device_0_1024x512.log 2>&1"
    )
    assert not Path("result").exists()


@pytest.mark.slow
def test_trtexec_without_flags_of_precision_gets_a_float16_model(
    with_trtexec: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    """TensorRT 11 and newer: engines are strongly typed."""
    monkeypatch.setenv("STAND_IN_TENSORRT_11", "1")
    call = ("HigherHRNet_performance", "--backend", "trtexec", "--cfg", TINY_CONFIG, "--shapes", "128x128")
    outcome = script(*call)
    assert outcome.status == 0, outcome
    half = with_trtexec / "result/trtexec/tiny_bs1_dynamic_float16.onnx"
    log = (with_trtexec / "result/trtexec/trtexec_batchsize_1_device_0_128x128.log").read_text()
    assert log.startswith(f"$ trtexec --onnx={half.relative_to(with_trtexec)} --minShapes=")
    weights = {tensor.data_type for tensor in onnx.load(half).graph.initializer if len(tensor.dims) > 1}
    assert weights == {onnx.TensorProto.FLOAT16}
    image = np.random.default_rng(0).standard_normal((1, 3, 128, 128), dtype=np.float32)
    plain, typed = (
        onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(None, {"input": image})
        for file in (with_trtexec / "models/tiny_bs1_dynamic.onnx", half)
    )
    for expected, found in zip(plain, typed, strict=True):
        assert found.dtype == np.float32
        assert 0 < np.abs(found - expected).max() < 0.02 * np.abs(expected).max()  # float16 has 11 bits
    shown = script(*call, "--print_commands").out
    assert "--onnx=result/trtexec/tiny_bs1_dynamic_float16.onnx --minShapes" in shown
    float32 = ("--precision", "float32", "--save", "float32")
    assert script(*call, *float32).status == 0
    assert sorted(file.suffix for file in (with_trtexec / "float32").iterdir()) == [".engine", ".json", ".json", ".log"]
    half.write_bytes(b"somebody's")
    refused = (
        f"{half.relative_to(with_trtexec)} is a file that this command did not make; give another path with --save"
    )
    assert refused in error(script(*call))
    assert half.read_bytes() == b"somebody's"
    monkeypatch.delenv("STAND_IN_TENSORRT_11")
    assert "--noTF32" in script(*call, *float32, "--print_commands").out


def test_trtexec_s_first_errors_are_shown(with_trtexec: Path, monkeypatch: pytest.MonkeyPatch):
    """And not the help that follows them."""
    monkeypatch.setenv("STAND_IN_TENSORRT_11", "1")
    log = with_trtexec / "log"
    outcome = processes.run(processes.Command(("trtexec", "--onnx=m.onnx", "--fp16")), log=log)
    assert trtexec.reason(outcome) == "Unknown option: --fp16"
    log.write_text("")
    nothing = replace(outcome, text="a\nb\nc\nd\n")
    assert trtexec.reason(nothing) == "b | c | d"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--precision", "bfloat16"),
            "--precision bfloat16 is not for trtexec, which builds float16 or float32 engines",
        ),
        (("--precision", "int8"), "--precision int8 is not for trtexec"),
    ],
)
def test_precisions_that_trtexec_does_not_build(
    with_trtexec: Path, script: Script, flags: tuple[str, ...], message: str
):
    call = ("HigherHRNet_performance", "--backend", "trtexec", "--cfg", TINY_CONFIG, *flags)
    assert message in error(script(*call))
    assert message in error(script(*call, "--print_commands"))


def test_a_trtexec_that_does_not_list_its_flags_is_named(
    with_trtexec: Path, tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    """As one whose libraries are not found."""
    other = tmp_path / "bin/trtexec"
    other.parent.mkdir()
    other.write_text(
        "#!/bin/sh\necho 'trtexec: error while loading shared libraries: libnvinfer.so.11' >&2\nexit 127\n"
    )
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{other.parent}:{search_path()}")
    message = error(script("HigherHRNet_performance", "--backend", "trtexec", "--cfg", TINY_CONFIG))
    assert "trtexec --help ended with status 127 and does not list its flags: trtexec: error while loading" in message


# The chart


@pytest.mark.slow
def test_the_chart_is_drawn_and_nothing_in_it_overlaps(guide_files: Path, script: Script, tmp_path: Path):
    target = tmp_path / "chart.png"
    where = ("--result", guide_files / "310P", "--published", "310P_tuned", "310", "T4")
    assert script("HigherHRNet_performance", *where, "--chart", target).status == 0
    picture = cv2.imread(str(target))
    assert picture is not None
    assert picture.shape == (780, 1680, 3)
    border = (picture[:3], picture[-3:], picture[:, :3], picture[:, -3:])
    assert all((edge == 255).all() for edge in border), "something is cut off at the picture's edge"
    figure = chart.figure([Column(n, c.cells) for n, c in GUIDE.columns.items()])
    figure.canvas.draw()
    (axes,) = figure.axes
    texts = [*axes.get_xticklabels(), *figure.legends[0].get_texts(), axes.xaxis.label, axes.title]
    # Text at an angle: its box is larger than the text, so neighbours are compared by the distance of their anchors.
    ticks = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert min(b.x1 - a.x1 for a, b in itertools.pairwise(ticks)) > axes.get_xticklabels()[0].get_fontsize()
    upright = [text.get_window_extent() for text in texts if text.get_rotation() == 0]
    assert not any(a.overlaps(b) for i, a in enumerate(upright) for b in upright[:i])
    assert not any(a.overlaps(b) for a in upright for b in ticks)


def test_a_chart_without_matplotlib_is_refused_before_the_work(
    guide_files: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(chart.packages, "is_installed", lambda _: False)
    outcome = script("HigherHRNet_performance", "--result", guide_files / "T4", "--chart", "x.png")
    assert "--chart needs matplotlib" in error(outcome)
    assert outcome.out == ""


def test_more_columns_than_colors_are_refused(tmp_path: Path):
    columns = [Column(str(i), {(512, 512): 1.0}) for i in range(9)]
    with pytest.raises(UserError, match="9 columns, at most 8 can be told apart"):
        chart.draw(columns, tmp_path / "x.png")


def test_performance_prints_a_row_a_measured_shape(tiny_result: Path, script: Script):
    outcome = script("HigherHRNet_performance", "--result", tiny_result)
    assert outcome.status == 0
    shapes = {geometry.fit(w, h, TINY_SIDE).shape for w, h in TINY_IMAGES}
    table, foot = outcome.out.split("\n\n")
    assert {line.split()[0] for line in table.splitlines()[2:-2]} == {f"({h},{w})" for h, w in shapes}
    assert table.splitlines()[-1].startswith("avg/min/max")
    assert foot == f"images per second: {perf.MEANING}\n"
    markdown = script("HigherHRNet_performance", "--result", tiny_result, "--format", "markdown").out
    assert markdown.startswith("| Input Shape | bs1 device 0 |\n|---|---|\n")


def test_performance_refuses_wrong_input(script: Script, tmp_path: Path):
    assert "does not exist" in error(script("HigherHRNet_performance", "--result", tmp_path / "none"))
    assert "holds no performance files" in error(script("HigherHRNet_performance", "--result", tmp_path))
    (tmp_path / "perf_vision_batchsize_1_device_0_128x128.txt").write_text("")
    assert "128x128.txt: found no line" in error(script("HigherHRNet_performance", "--result", tmp_path))
