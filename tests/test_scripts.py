"""The six scripts: their guide's commands, what they leave, and every wrong input as one line.

``tiny_inputs`` and ``tiny_onnx`` (conftest.py) are what the first three scripts leave of seven small images.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import MODULES, ROOT, TINY_CONFIG, TINY_IMAGES, Outcome, main_of, write_dataset
from higherhrnet.artifacts import claim, dumps, inputs
from higherhrnet.artifacts.work import DumpsWork
from higherhrnet.config import loader
from higherhrnet.image import geometry

SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))
Script = Callable[..., Outcome]
SHORT = 128  # TINY_CONFIG's short side


def files(root: Path) -> dict[str, object]:
    """Every file below a directory with its content; of a table of pictures the hashes, not which file was read."""

    def content(path: Path) -> object:
        if path.name != inputs.PICTURES:
            return path.read_bytes()
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return lines[0], {line["index"]: line["picture"][-1] for line in lines[1:]}

    return {str(p.relative_to(root)): content(p) for p in sorted(root.rglob("*")) if p.is_file()}


def error(outcome: Outcome) -> str:
    """The one line of a refused run."""
    assert outcome.status == 1, outcome
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1, outcome.err
    assert outcome.err.endswith("\n")
    return outcome.err


# Every script


def test_the_scripts_are_the_guide_s():
    assert SCRIPTS == [
        "HigherHRNet_benchmark.py",
        "HigherHRNet_performance.py",
        "HigherHRNet_postprocess.py",
        "HigherHRNet_preprocess.py",
        "HigherHRNet_pth2onnx.py",
        "gen_dataset_info.py",
    ]


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_comes_from_any_directory(name: str, command: Script, tmp_path: Path):
    outcome = command(name, "--help", cwd=tmp_path)
    assert outcome.status == 0
    assert outcome.out.startswith("usage:")
    assert f"python3 {name}" in outcome.out, "a command to paste"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.tries("input")
@pytest.mark.parametrize("name", SCRIPTS)
def test_unknown_flags_are_wrong_usage(name: str, command: Script, tmp_path: Path):
    outcome = command(name, "--no_such_flag", cwd=tmp_path)
    assert outcome.status == 2
    assert "Traceback" not in outcome.err


@pytest.mark.tries("fault")
def test_a_reader_that_goes_away_is_no_traceback(tiny_inputs: Path, tmp_path: Path):
    script = subprocess.Popen(
        [sys.executable, ROOT / "gen_dataset_info.py", "bin", tiny_inputs / "bins", tmp_path / "prep"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert script.stdout is not None
    assert script.stderr is not None
    script.stdout.close()
    assert script.stderr.read() == b""
    script.stderr.close()
    script.wait()


@pytest.mark.parametrize(
    "module", ["HigherHRNet_preprocess", "HigherHRNet_postprocess", "HigherHRNet_benchmark", "HigherHRNet_performance"]
)
def test_stages_of_an_ascend_host_import_neither_torch_nor_onnx(module: str):
    loaded = "[m for m in ('torch', 'onnx', 'onnxruntime', 'matplotlib') if m in sys.modules]"
    code = f"import sys, higherhrnet.cli.{MODULES[module]}; print({loaded})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# HigherHRNet_preprocess.py


def preprocess(script: Script, data: Path, to: Path, *more: object) -> Outcome:
    trees = ("--output", to / "bins", "--output_flip", to / "bins_flip")
    return script("HigherHRNet_preprocess", *trees, "--workers", 1, "--cfg", TINY_CONFIG, "DATASET.ROOT", data, *more)


def test_preprocess_leaves_every_image_and_its_mirror_image(tiny_inputs: Path):
    shapes = [geometry.fit(w, h, SHORT).shape for w, h in TINY_IMAGES]
    for tree, other in (("bins", "bins_flip"), ("bins_flip", "bins")):
        found = inputs.find(tiny_inputs / tree)
        assert [(i.index, i.shape) for i in found] == list(enumerate(shapes))
        for item in found:
            tensor = np.fromfile(item.path, np.float32).reshape(3, *item.shape)
            mirrored = np.fromfile(inputs.path(tiny_inputs / other, item.shape, item.index), np.float32)
            np.testing.assert_array_equal(tensor[:, :, ::-1], mirrored.reshape(tensor.shape))


def test_overrides_and_flags_come_in_any_order_and_two_workers_give_the_same_bytes(
    tiny_data: Path, tiny_inputs: Path, command: Script, tmp_path: Path
):
    outcome = command(
        "HigherHRNet_preprocess.py",
        *("DATASET.ROOT", tiny_data, "--output", "bins"),
        *("DATASET.TEST", "val2017", "--workers", 2, "--cfg", TINY_CONFIG, "--output_flip", "bins_flip"),
        cwd=tmp_path,
    )
    assert (outcome.status, outcome.err) == (0, "")
    for tree in ("bins", "bins_flip"):
        assert files(tmp_path / tree) == files(tiny_inputs / tree)


def test_images_that_are_cut_are_counted_and_named(tiny_data: Path, script: Script, tmp_path: Path):
    outcome = preprocess(script, tiny_data, tmp_path)
    assert outcome.out.splitlines()[1:] == [
        "1 images are longer than the input shapes; their ends are cut off:",
        f"  {1000 + 7 * 5:012d}.jpg",
    ]


def test_a_run_that_was_stopped_goes_on(tiny_data: Path, tiny_inputs: Path, script: Script, tmp_path: Path):
    """Stopped in the middle: some files there, one unfinished under its temporary name, the record not complete."""
    data = write_dataset(tmp_path / "coco")
    missing = data / f"images/val2017/{1000 + 7 * 4:012d}.jpg"
    content = missing.read_bytes()
    missing.unlink()
    assert "cannot read image" in error(preprocess(script, data, tmp_path))
    done = files(tmp_path / "bins")
    assert 0 < len([name for name in done if name.endswith(".bin")]) < 7
    (tmp_path / "bins/shape_128x192/.000000000006.bin.77.part").write_text("half")
    missing.write_bytes(content)
    outcome = preprocess(script, data, tmp_path)
    assert outcome.status == 0
    assert "4 were there" in outcome.out
    for tree in ("bins", "bins_flip"):
        assert files(tmp_path / tree) == files(tiny_inputs / tree)


def test_inputs_of_another_data_set_are_not_mixed_in(tiny_data: Path, script: Script, tmp_path: Path):
    preprocess(script, tiny_data, tmp_path)
    before = files(tmp_path)
    outcome = preprocess(script, tiny_data, tmp_path, "--limit", 2)
    assert re.search(
        r"bins already holds inputs of other work: another number of images \(7, not 2\); give another", error(outcome)
    )
    assert files(tmp_path) == before, "something already made was lost"
    assert preprocess(script, tiny_data, tmp_path, "--limit", 2, "--overwrite").status == 0
    assert [i.index for i in inputs.find(tmp_path / "bins")] == [0, 1]


def test_preprocess_refuses_wrong_input(tiny_data: Path, script: Script, tmp_path: Path):
    annotations = "annotations/person_keypoints_val2017.json"
    assert f"cannot read annotation file {tmp_path / annotations}" in error(preprocess(script, tmp_path, tmp_path))

    data = tmp_path / "coco"
    write_dataset(data)
    image = data / f"images/val2017/{1007:012d}.jpg"
    content = image.read_bytes()
    image.write_bytes(content[: len(content) // 2][:100])
    assert f"image {image}: 100 bytes that do not decode" in error(preprocess(script, data, tmp_path))
    shutil.copy(data / f"images/val2017/{1000:012d}.jpg", image)
    assert f"image {image}: found 640x480 pixels, the annotation file says 480x640" in error(
        preprocess(script, data, tmp_path)
    )
    (data / annotations).write_text("{")
    assert "is not JSON" in error(preprocess(script, data, tmp_path))

    assert "Non-existent key: DATASET.ROOOT" in error(preprocess(script, tiny_data, tmp_path, "DATASET.ROOOT", "x"))
    (tmp_path / "file").write_text("")
    outcome = script(
        "HigherHRNet_preprocess",
        *("--output", tmp_path / "file/bins", "--output_flip", tmp_path / "flip", "DATASET.ROOT", tiny_data),
    )
    assert "cannot create directory" in error(outcome)
    outcome = script(
        "HigherHRNet_preprocess", "--output", tmp_path, "--output_flip", tmp_path, "DATASET.ROOT", tiny_data
    )
    assert "give two directories" in error(outcome)


@pytest.mark.tries("fault")
def test_a_disk_that_is_too_small_is_refused_before_the_work(
    tiny_data: Path, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    assert re.search(r"5 MB of inputs to write, 1 MB free", error(preprocess(script, tiny_data, tmp_path)))
    assert not list(tmp_path.rglob("*.bin"))


# gen_dataset_info.py


def test_lists_hold_every_input_in_index_order(tiny_inputs: Path):
    lines = (tiny_inputs / "prep_bin.info").read_text().splitlines()
    assert len(lines) == 7
    assert lines[0] == f"0 {tiny_inputs}/bins/shape_128x192/000000000000.bin 192 128"
    assert lines[1] == f"1 {tiny_inputs}/bins/shape_192x128/000000000001.bin 128 192"
    assert (tiny_inputs / "prep_bin_128x192.info").read_text().splitlines() == [
        lines[0],
        lines[6].replace("6 ", "1 ", 1),
    ]
    by_shape = [p.read_text().splitlines() for p in tiny_inputs.glob("prep_bin_[0-9]*.info")]
    assert sorted(line.split()[1] for text in by_shape for line in text) == sorted(line.split()[1] for line in lines)


def test_lists_of_images(tiny_data: Path, script: Script, tmp_path: Path):
    folder = tiny_data / "images/val2017"
    assert script("gen_dataset_info", "jpg", folder, tmp_path / "list").status == 0
    lines = (tmp_path / "list.info").read_text().splitlines()
    assert lines[1] == f"1 {folder}/000000001007.jpg 480 640"
    assert len(lines) == 7


def test_gen_dataset_info_refuses_wrong_input(tiny_inputs: Path, script: Script, tmp_path: Path):
    def listing(kind: str, tree: Path) -> Outcome:
        return script("gen_dataset_info", kind, tree, tmp_path / "list")

    assert "does not exist" in error(listing("bin", tmp_path / "none"))
    assert "holds no shape_HxW" in error(listing("bin", tmp_path))
    assert "holds no .jpg" in error(listing("jpg", tmp_path))
    tree = tmp_path / "bins"
    shutil.copytree(tiny_inputs / "bins", tree)
    (tree / "shape_128x192/000000000006.bin").unlink()
    assert "holds 6 inputs, its record says 7" in error(listing("bin", tree))
    (tree / "shape_128x192/000000000000.bin").write_bytes(b"short")
    assert "found 5 bytes, expected 294912 for shape 128x192" in error(listing("bin", tree))
    assert not list(tmp_path.glob("*.info"))
    outcome = script("gen_dataset_info", "bin", tiny_inputs / "bins", tree / "record.json/list")
    assert "cannot create directory" in error(outcome)


# HigherHRNet_benchmark.py


def benchmark(script: Script, lists: Path, model: Path, result: Path, *more: object) -> Outcome:
    names = ("--info", lists / "prep_bin", "--info_flip", lists / "prep_bin_flip")
    return script(
        "HigherHRNet_benchmark",
        *("--bs", 1, "--backend", "onnxruntime", *names, "--model", model, "--result", result, *more),
    )


@pytest.fixture(scope="module")
def result(tiny_inputs: Path, tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result directory of a whole run; not to be changed."""
    path = tmp_path_factory.mktemp("result")
    lists = ["--info", str(tiny_inputs / "prep_bin"), "--info_flip", str(tiny_inputs / "prep_bin_flip")]
    run = main_of("HigherHRNet_benchmark")
    run([*lists, "--backend", "onnxruntime", "--model", str(tiny_onnx), "--result", str(path)])
    return path


PLAIN, FLIP = "dumpOutput_device0_bs1", "dumpOutput_device0_bs1_flip"


def dump_files(root: Path) -> dict[str, object]:
    return {name: content for name, content in files(root).items() if name.endswith((".bin", "record.json"))}


def test_dumps_are_pytorch_s_outputs(result: Path, tiny_inputs: Path, tiny_weights: Path):
    import torch  # noqa: PLC0415

    from higherhrnet.model import architecture, checkpoint, network  # noqa: PLC0415

    config = loader.load(TINY_CONFIG)
    net = network.HigherHRNet(architecture.Architecture.from_extra(config.extra, config.heads)).eval()
    checkpoint.load(tiny_weights, net)
    for tree, directory in (("bins", PLAIN), ("bins_flip", FLIP)):
        for item in inputs.find(tiny_inputs / tree):
            tensor = torch.from_numpy(np.fromfile(item.path, np.float32).reshape(1, 3, *item.shape))
            with torch.inference_mode():
                expected = net(tensor)
            pair = dumps.BENCHMARK.paths(result / directory, item.index)
            for file, output in zip(pair, expected, strict=True):
                reference = output[0].numpy()
                found = dumps.read(file, reference.shape, reference.shape)
                # Folding and another order of summation: a few float32 roundings of the largest value.
                np.testing.assert_allclose(found, reference, rtol=0, atol=1e-5 * np.abs(reference).max())


def test_perf_files_are_left_a_shape(result: Path):
    shapes = {geometry.fit(w, h, SHORT).shape for w, h in TINY_IMAGES}
    names = {f"perf_vision_batchsize_1_device_0_{h}x{w}.txt" for h, w in shapes}
    assert {p.name for p in result.glob("perf*")} == names


def test_a_batch_leaves_the_same_dumps_a_last_partial_one_too(
    result: Path, tiny_inputs: Path, tiny_weights: Path, script: Script, tmp_path: Path
):
    """Batch 3 where shapes have one or two images: every batch is partial."""
    model = tmp_path / "models/tiny_bs3_dynamic.onnx"
    script("HigherHRNet_pth2onnx", "--weights", tiny_weights, "--cfg", TINY_CONFIG, "--bs", 3, "--output", model)
    assert benchmark(script, tiny_inputs, model, tmp_path, "--bs", 3).status == 0
    for name in ("dumpOutput_device0_bs{}", "dumpOutput_device0_bs{}_flip"):
        for file in sorted((result / name.format(1)).glob("*.bin")):
            one, three = (np.fromfile(f, np.float32) for f in (file, tmp_path / name.format(3) / file.name))
            np.testing.assert_allclose(three, one, rtol=0, atol=1e-5 * np.abs(one).max())
    assert "takes batches of 3, not 1" in error(benchmark(script, tiny_inputs, model, tmp_path))


def test_only_missing_dumps_are_made_again(
    result: Path, tiny_inputs: Path, tiny_onnx: Path, script: Script, tmp_path: Path
):
    shutil.copytree(result, tmp_path, dirs_exist_ok=True)
    (tmp_path / PLAIN / "000000000003_2.bin").unlink()
    (tmp_path / FLIP / "000000000004_1.bin").write_bytes(b"short")
    untouched = tmp_path / PLAIN / "000000000002_1.bin"
    before = untouched.stat().st_mtime_ns
    outcome = benchmark(script, tiny_inputs, tiny_onnx, tmp_path)
    assert outcome.status == 0
    assert "12 of 14 dumps were there" in outcome.out
    assert dump_files(tmp_path) == dump_files(result)
    assert untouched.stat().st_mtime_ns == before


def test_another_model_s_dumps_are_replaced_and_others_files_kept(
    result: Path, tiny_inputs: Path, tiny_onnx: Path, script: Script, tmp_path: Path
):
    shutil.copytree(result, tmp_path, dirs_exist_ok=True)
    made = claim.read(tmp_path / PLAIN, DumpsWork)
    assert made is not None
    claim.write(tmp_path / PLAIN, replace(made, work=replace(made.work, model="another")))
    (tmp_path / PLAIN / "000000000999_1.bin").write_bytes(b"stale")
    (tmp_path / "notes.txt").write_text("mine")
    outcome = benchmark(script, tiny_inputs, tiny_onnx, tmp_path)
    assert f"{tmp_path / PLAIN}: dumps of other work were removed first: another model (another, not " in outcome.out
    assert FLIP + ": dumps" not in outcome.out
    assert dump_files(tmp_path) == dump_files(result)
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
    assert "does not load in ONNX Runtime" in error(run(tiny_inputs, tmp_path / "broken.onnx"))
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


# HigherHRNet_postprocess.py


def postprocess(script: Script, data: Path, dumps_in: Path, monkeypatch: pytest.MonkeyPatch, *more: object) -> Outcome:
    """Run in ``dumps_in``'s own directory: results go to output/ of the current one."""
    monkeypatch.chdir(dumps_in)
    where = ("--dump_dir", dumps_in / PLAIN, "--dump_dir_flip", dumps_in / FLIP)
    return script("HigherHRNet_postprocess", *where, "--workers", 1, "--cfg", TINY_CONFIG, "DATASET.ROOT", data, *more)


RESULTS = "output/coco_kpt/pose_higher_hrnet/tiny/results/keypoints_val2017_results.json"


@pytest.fixture
def work(result: Path, tmp_path: Path) -> Path:
    """A copy of ``result`` to spoil."""
    shutil.copytree(result, tmp_path / "work")
    return tmp_path / "work"


def test_postprocess_prints_the_official_table_and_leaves_results_and_a_log(
    work: Path, tiny_data: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    outcome = postprocess(script, tiny_data, work, monkeypatch)
    assert outcome.status == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[-3].startswith("| Arch | AP | Ap .5 |")
    assert "images have dumps" not in outcome.out.replace("7 of 7", "")
    people = json.loads((work / RESULTS).read_text())
    assert f"=> {len(people)} people in 7 images" in lines[0]
    (log,) = (work / RESULTS).parent.parent.glob("tiny_*_valid.log")
    assert lines[-1] in log.read_text()


def test_postprocess_is_the_same_with_two_workers_and_with_other_tools_names(
    work: Path, tiny_data: Path, script: Script, command: Script, monkeypatch: pytest.MonkeyPatch
):
    postprocess(script, tiny_data, work, monkeypatch)
    expected = (work / RESULTS).read_bytes()
    (work / RESULTS).unlink()
    where = ("--dump_dir", PLAIN, "--dump_dir_flip", FLIP, "--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data)
    assert command("HigherHRNet_postprocess.py", *where, "--workers", 2, cwd=work).status == 0
    assert (work / RESULTS).read_bytes() == expected

    shapes = [geometry.fit(w, h, SHORT).shape for w, h in TINY_IMAGES]
    for directory in (work / PLAIN, work / FLIP):
        for index, shape in enumerate(shapes):
            first, second = dumps.BENCHMARK.paths(directory, index)
            arrays = [np.fromfile(f, np.float32) for f in (first, second)]
            first.unlink()
            second.unlink()
            for file, array, output in zip(
                dumps.Naming(0, "npy").paths(directory, index),
                arrays,
                dumps.output_shapes(shape, dumps.Heads(17, 17)),
                strict=True,
            ):
                np.save(file, array.reshape(1, *output))
    postprocess(script, tiny_data, work, monkeypatch)
    assert (work / RESULTS).read_bytes() == expected


def test_whole_buffer_dumps_give_the_same_people(
    work: Path, tiny_data: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    postprocess(script, tiny_data, work, monkeypatch)
    expected = (work / RESULTS).read_bytes()
    for directory in (work / PLAIN, work / FLIP):
        for file in directory.glob("*.bin"):
            largest = dumps.output_shapes((256, 128), dumps.Heads(17, 17))[int(file.stem[-1]) - 1]
            whole = np.full(int(np.prod(largest)), np.nan, np.float32)
            content = np.fromfile(file, np.float32)
            whole[: content.size] = content
            whole.tofile(file)
    assert postprocess(script, tiny_data, work, monkeypatch).status == 0
    assert (work / RESULTS).read_bytes() == expected


def test_the_guide_s_original_trees_without_records_are_read(
    work: Path, tiny_data: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    for directory in (work / PLAIN, work / FLIP):
        claim.record_of(directory).unlink()
        for file in directory.glob("00000000000[3-6]_?.bin"):
            file.unlink()
    outcome = postprocess(script, tiny_data, work, monkeypatch)
    assert "=> the figures are over the 3 of 7 images that have dumps" in outcome.out


def test_people_are_drawn_on_images(work: Path, tiny_data: Path, script: Script, monkeypatch: pytest.MonkeyPatch):
    def pictures(score: float) -> int:
        where = ("--vis_dir", work / f"vis{score}", "--vis_count", 2, "--vis_score", score)
        assert postprocess(script, tiny_data, work, monkeypatch, *where).status == 0
        return len(list((work / f"vis{score}").glob("*.jpg")))

    highest = max(entry["score"] for entry in json.loads((work / RESULTS).read_text())) if pictures(0) else 0
    assert pictures(highest) == 1
    assert pictures(highest + 1) == 0


def first_values(value: float) -> Callable[[Path], None]:
    def spoil(file: Path) -> None:
        values = np.fromfile(file, np.float32)
        values[:3] = value
        values.tofile(file)

    return spoil


@pytest.mark.tries("input")
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (Path.unlink, r"dumpOutput_device0_bs1: no dumps of 1 of 7 images|cannot read .*000000000003_2\.bin"),
        (lambda file: file.write_bytes(b"short"), r"dump .*3_2\.bin: found 5 bytes, expected \d+ for"),
        (first_values(np.nan), r"dump .*3_2\.bin: 3 of \d+ values are NaN or infinite"),
        (first_values(-np.inf), r"dump .*3_2\.bin: 3 of \d+ values are NaN or infinite"),
        (lambda file: file.with_name("000000000007_1.bin").touch(), r"found a dump of image 7, but .* lists 7 images"),
    ],
)
def test_damaged_dumps_are_named(
    work: Path, tiny_data: Path, script: Script, monkeypatch: pytest.MonkeyPatch, spoil, message: str
):
    spoil(work / PLAIN / "000000000003_2.bin")
    assert re.search(message, error(postprocess(script, tiny_data, work, monkeypatch)))
    assert not (work / RESULTS).exists()


def test_postprocess_refuses_wrong_trees(
    work: Path, tiny_data: Path, script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def swapped() -> Outcome:
        where = ("--dump_dir", work / FLIP, "--dump_dir_flip", work / PLAIN)
        return script("HigherHRNet_postprocess", *where, "--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data)

    monkeypatch.chdir(work)
    assert "holds dumps of the flipped inputs; exchange" in error(swapped())
    other = write_dataset(tmp_path / "other", sizes=(*TINY_IMAGES[:-1], (641, 480)))
    assert "holds dumps of another data set" in error(postprocess(script, other, work, monkeypatch))
    outcome = postprocess(script, tiny_data, work, monkeypatch, "DATASET.INPUT_SIZE", 256)
    assert "inputs of short side 128, the config says DATASET.INPUT_SIZE 256" in error(outcome)
    made = claim.read(work / FLIP, DumpsWork)
    assert made is not None
    changes = (
        (replace(made, complete=False), "is unfinished"),
        (
            replace(made, work=replace(made.work, model="x")),
            "is of other work than the plain one: another model (x, not",
        ),
    )
    for changed, message in changes:
        claim.write(work / FLIP, changed)
        assert message in error(postprocess(script, tiny_data, work, monkeypatch))
    shutil.rmtree(work / FLIP)
    assert "does not exist" in error(postprocess(script, tiny_data, work, monkeypatch))
    (work / FLIP).mkdir()
    assert "holds no dumps" in error(postprocess(script, tiny_data, work, monkeypatch))
    assert "cannot read annotation file" in error(postprocess(script, work, work, monkeypatch))
    (work / "file").touch()
    outcome = postprocess(script, tiny_data, work, monkeypatch, "OUTPUT_DIR", work / "file/below")
    assert "cannot create directory" in error(outcome)


# HigherHRNet_performance.py


def test_performance_prints_a_row_a_measured_shape(result: Path, script: Script):
    outcome = script("HigherHRNet_performance", "--result", result)
    assert outcome.status == 0
    shapes = {geometry.fit(w, h, SHORT).shape for w, h in TINY_IMAGES}
    assert {line.split()[0] for line in outcome.out.splitlines()[2:-2]} == {f"({h},{w})" for h, w in shapes}
    assert outcome.out.splitlines()[-1].startswith("avg/min/max")
    markdown = script("HigherHRNet_performance", "--result", result, "--format", "markdown").out
    assert markdown.startswith("| Input Shape | bs1 device 0 |\n|---|---|\n")


def test_performance_refuses_wrong_input(script: Script, tmp_path: Path):
    assert "does not exist" in error(script("HigherHRNet_performance", "--result", tmp_path / "none"))
    assert "holds no performance files" in error(script("HigherHRNet_performance", "--result", tmp_path))
    (tmp_path / "perf_vision_batchsize_1_device_0_128x128.txt").write_text("")
    assert "128x128.txt: found no line" in error(script("HigherHRNet_performance", "--result", tmp_path))
