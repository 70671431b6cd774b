"""HigherHRNet_benchmark.py with ONNX Runtime: dumps, what is made again, wrong input."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from higherhrnet.artifacts import claim, dumps, inputs
from higherhrnet.artifacts.work import DumpsWork
from higherhrnet.image import geometry
from tests.support.datasets import TINY_CONFIG, TINY_IMAGES, TINY_SIDE
from tests.support.programs import CPU, FLIP, PLAIN, Outcome, error, files

Script = Callable[..., Outcome]


def benchmark(script: Script, lists: Path, model: Path, result: Path, *more: object) -> Outcome:
    names = ("--info", lists / "prep_bin", "--info_flip", lists / "prep_bin_flip")
    return script(
        "HigherHRNet_benchmark",
        *(
            "--bs",
            1,
            *CPU,
            *names,
            "--model",
            model,
            "--cfg",
            TINY_CONFIG,
            "--result",
            result,
            *more,
        ),
    )


def dump_files(root: Path) -> dict[str, object]:
    return {name: content for name, content in files(root).items() if name.endswith((".bin", "/record.json"))}


@pytest.mark.slow
def test_dumps_are_pytorch_s_outputs(tiny_result: Path, tiny_inputs: Path, tiny_weights: Path):
    import torch  # noqa: PLC0415

    from higherhrnet.model import checkpoint  # noqa: PLC0415
    from tests.support.networks import build  # noqa: PLC0415

    net = build(TINY_CONFIG)
    checkpoint.load(tiny_weights, net)
    for tree, directory in (("bins", PLAIN), ("bins_flip", FLIP)):
        for item in inputs.find(tiny_inputs / tree):
            tensor = torch.from_numpy(np.fromfile(item.path, np.float32).reshape(1, 3, *item.shape))
            with torch.inference_mode():
                expected = net(tensor)
            pair = dumps.BENCHMARK.paths(tiny_result / directory, item.index)
            for file, output in zip(pair, expected, strict=True):
                reference = output[0].numpy()
                found = dumps.read(file, reference.shape, reference.shape)
                # Folding and another order of summation: a few float32 roundings of the largest value.
                np.testing.assert_allclose(found, reference, rtol=0, atol=1e-5 * np.abs(reference).max())


def test_perf_files_are_left_a_shape(tiny_result: Path):
    shapes = {geometry.fit(w, h, TINY_SIDE).shape for w, h in TINY_IMAGES}
    names = {f"perf_vision_batchsize_1_device_0_{h}x{w}.txt" for h, w in shapes}
    assert {p.name for p in tiny_result.glob("perf*")} == names


@pytest.mark.slow
def test_a_batch_leaves_the_same_dumps_a_last_partial_one_too(
    tiny_result: Path, tiny_inputs: Path, tiny_onnx_of_any_batch: Path, script: Script, tmp_path: Path
):
    """Batch 3 where shapes have one or two images: every batch is partial."""
    from tests.support.networks import with_batch  # noqa: PLC0415

    model = with_batch(tiny_onnx_of_any_batch, 3, tmp_path / "models/tiny_bs3_dynamic.onnx")
    assert benchmark(script, tiny_inputs, model, tmp_path, "--bs", 3).status == 0
    for name in ("dumpOutput_device0_bs{}", "dumpOutput_device0_bs{}_flip"):
        for file in sorted((tiny_result / name.format(1)).glob("*.bin")):
            one, three = (np.fromfile(f, np.float32) for f in (file, tmp_path / name.format(3) / file.name))
            np.testing.assert_allclose(three, one, rtol=0, atol=1e-5 * np.abs(one).max())
    assert "takes batches of 3, not 1" in error(benchmark(script, tiny_inputs, model, tmp_path))


def test_only_missing_dumps_are_made_again(
    tiny_result: Path, tiny_inputs: Path, tiny_onnx: Path, script: Script, tmp_path: Path
):
    shutil.copytree(tiny_result, tmp_path, dirs_exist_ok=True)
    (tmp_path / PLAIN / "000000000003_2.bin").unlink()
    (tmp_path / FLIP / "000000000004_1.bin").write_bytes(b"short")
    untouched = tmp_path / PLAIN / "000000000002_1.bin"
    before = untouched.stat().st_mtime_ns
    outcome = benchmark(script, tiny_inputs, tiny_onnx, tmp_path)
    assert outcome.status == 0
    assert "12 of 14 dumps were there" in outcome.out
    assert dump_files(tmp_path) == dump_files(tiny_result)
    assert untouched.stat().st_mtime_ns == before


def test_another_model_s_dumps_are_replaced_and_others_files_kept(
    tiny_result: Path, tiny_inputs: Path, tiny_onnx: Path, script: Script, tmp_path: Path
):
    shutil.copytree(tiny_result, tmp_path, dirs_exist_ok=True)
    made = claim.read(tmp_path / PLAIN, DumpsWork)
    assert made is not None
    claim.write(tmp_path / PLAIN, replace(made, work=replace(made.work, model="another")))
    (tmp_path / PLAIN / "000000000999_1.bin").write_bytes(b"stale")
    (tmp_path / "notes.txt").write_text("mine")
    outcome = benchmark(script, tiny_inputs, tiny_onnx, tmp_path)
    assert f"{tmp_path / PLAIN}: dumps of other work were removed first: another model (another, not " in outcome.out
    assert FLIP + ": dumps" not in outcome.out
    assert dump_files(tmp_path) == dump_files(tiny_result)
    assert (tmp_path / "notes.txt").exists()


def test_dumps_of_unknown_origin_are_not_touched(tiny_inputs: Path, tiny_onnx: Path, script: Script, tmp_path: Path):
    (tmp_path / PLAIN).mkdir()
    (tmp_path / PLAIN / "000000000000_1.bin").write_bytes(b"theirs")
    outcome = benchmark(script, tiny_inputs, tiny_onnx, tmp_path)
    assert "already holds dumps that this program did not make (it has no record)" in error(outcome)
    assert (tmp_path / PLAIN / "000000000000_1.bin").read_bytes() == b"theirs"


def test_benchmark_refuses_wrong_input(tiny_inputs: Path, tiny_onnx: Path, script: Script, tmp_path: Path):
    def run(lists: Path = tiny_inputs, model: Path = tiny_onnx, *more: object) -> Outcome:
        return benchmark(script, lists, model, tmp_path / "result", *more)

    assert "found no " in error(run(tmp_path))
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    assert "is not an ONNX file" in error(run(tiny_inputs, tmp_path / "broken.onnx"))
    assert "exchange --info and --info_flip" in error(
        run(tiny_inputs, tiny_onnx, "--info", tiny_inputs / "prep_bin_flip", "--info_flip", tiny_inputs / "prep_bin")
    )
    for file in tiny_inputs.glob("*.info"):
        shutil.copy(file, tmp_path)
    (tmp_path / "prep_bin_flip_128x128.info").unlink()
    assert "has no counterpart of shape 128x128" in error(run(tmp_path))
    line = (tmp_path / "prep_bin_128x128.info").read_text()
    (tmp_path / "prep_bin_128x128.info").write_text(line.replace("128 128", "128 192"))
    assert "is listed as 192x128, expected 128x128 (lines end in width, then height)" in error(run(tmp_path))
    (tmp_path / "prep_bin_128x128.info").write_text("0 cat\n")
    assert "line 1: found '0 cat'" in error(run(tmp_path))
    (tmp_path / "prep_bin_128x128.info").write_text("0 none/000000000002.bin 128 128\n")
    assert "cannot read input none/000000000002.bin" in error(run(tmp_path))
    assert not (tmp_path / "result").exists()


def test_a_shape_without_figures_is_timed_again(script: Script, tiny_inputs: Path, tiny_onnx: Path, tmp_path: Path):
    """What is there when a run is killed between a shape's last dump and its performance file."""
    result = tmp_path / "result"
    assert benchmark(script, tiny_inputs, tiny_onnx, result).status == 0
    before = dump_files(result)
    figures = sorted(result.glob("perf_vision_*.txt"))
    figures[0].unlink()
    outcome = benchmark(script, tiny_inputs, tiny_onnx, result)
    assert outcome.status == 0, outcome.err
    assert sorted(result.glob("perf_vision_*.txt")) == figures
    assert dump_files(result) == before
