"""``python3 -m higherhrnet run`` and ``merge``: the six scripts' bytes, in shards, and without bad images."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from higherhrnet.artifacts import atomic, claim
from higherhrnet.image import transform
from higherhrnet.stages import preprocess
from tests.support.datasets import TINY_CONFIG, TINY_IMAGES, write_dataset
from tests.support.programs import CPU, Outcome, error

pytestmark = pytest.mark.slow

Script = Callable[..., Outcome]
RESULTS = "output/coco_kpt/pose_higher_hrnet/tiny/results/keypoints_val2017_results{}.json"
LEAST = "3MB"


@pytest.fixture
def run(script: Script, tiny_data: Path, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Run in an empty directory, one process."""
    monkeypatch.chdir(tmp_path)

    def call(*more: object, data: Path = tiny_data, model: Path = tiny_onnx) -> Outcome:
        where = ("--cfg", TINY_CONFIG, "--model", model, *CPU, "DATASET.ROOT", data)
        return script("higherhrnet.__main__", "run", "--workers", 1, *where, *more)

    return call


@pytest.fixture
def merge(script: Script, tiny_data: Path) -> Script:
    def call(*more: object) -> Outcome:
        return script("higherhrnet.__main__", "merge", "--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data, *more)

    return call


def results(shard: str = "") -> Path:
    return Path(RESULTS.format(shard))


def leftovers() -> list[str]:
    """Everything below the current directory but results and what stands beside them."""
    kept = re.compile(r"output/.*_results(_\dof\d)?(\.record|\.pictures)?\.json")
    return [str(p) for p in Path().rglob("*") if p.is_file() and not kept.fullmatch(str(p))]


@pytest.mark.parametrize("budget", [LEAST, "4GB"])
def test_it_writes_the_six_scripts_bytes_and_leaves_nothing_else(run: Script, tiny_results: bytes, budget: str):
    outcome = run("--disk_budget", budget)
    assert outcome.status == 0, outcome.err
    assert results().read_bytes() == tiny_results
    assert leftovers() == []
    assert not Path("run_work").exists()
    people = len(json.loads(tiny_results))
    assert f"=> {people} people in 7 images" in outcome.out
    assert outcome.out.splitlines()[-3].startswith("| Arch | AP |")
    stages = {line.split()[0] for line in outcome.out.splitlines()}
    assert {"preprocess", "infer", "decode", "run"} <= stages
    peak, allowed = map(float, re.findall(r"peak on disk (\S+) MB of (\S+) MB allowed", outcome.out)[0])
    assert 0 < peak <= allowed
    assert peak < 0.2, "nothing but people"


def test_a_lower_precision_says_whether_people_are_float32_s(run: Script, tiny_weights: Path):
    """Of the first picture of each of two shapes, after the pictures, which are all done."""
    outcome = run("--backend", "torch", "--device", "cpu", "--precision", "bfloat16", "--limit", 2, model=tiny_weights)
    assert outcome.status == 0, outcome.err
    (line,) = [line for line in outcome.out.splitlines() if "against float32" in line]
    assert "torch cpu bfloat16 against float32, the first picture of 2 shapes: " in line
    assert " in 2 images" in outcome.out


def test_a_folder_that_was_there_stays_and_one_that_a_run_made_goes(run: Script, reads):
    Path("mine").mkdir()
    reads(5)
    for folder in ("mine", "new/work"):  # stopped, so that another run ends it
        assert run("--work", folder).status == 130
    reads()
    for folder in ("mine", "new/work"):
        outcome = run("--work", folder, "OUTPUT_DIR", f"of_{folder}")
        assert outcome.status == 0, outcome.err
    assert run("--work", "mine", "OUTPUT_DIR", "of_mine").status == 0, "which finds all done"
    assert list(Path("mine").iterdir()) == []
    assert Path("new").is_dir()
    assert not Path("new/work").exists()


def test_what_is_in_the_way_of_results_is_found_before_the_work(run: Script):
    Path("file").touch()
    outcome = run("OUTPUT_DIR", "file")
    assert "results.json: file is no folder; give another path with OUTPUT_DIR" in outcome.err
    assert not Path("run_work").exists()


def test_two_workers_and_a_batch_give_the_same_people(run: Script, tiny_results: bytes, tiny_onnx_of_any_batch: Path):
    assert run("--workers", 2).status == 0
    assert results().read_bytes() == tiny_results
    outcome = run("--bs", 2, model=tiny_onnx_of_any_batch)
    assert re.search(r"holds people of other work \(another batch size \(1, not 2\)\)", outcome.out)
    assert len(json.loads(results().read_bytes())) == len(json.loads(tiny_results))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Of images from here on: their indices, in order. After so many Ctrl-C is pressed, or ``then`` is done."""
    real = preprocess.read

    def interrupt() -> None:
        raise KeyboardInterrupt

    def begin(most: int | None = None, then: Callable[[], None] = interrupt) -> list[int]:
        seen: list[int] = []

        def reading(location, image, *, exif):
            if len(seen) == most:
                then()
            seen.append(image.index)
            return real(location, image, exif=exif)

        monkeypatch.setattr(preprocess, "read", reading)
        return seen

    return begin


def test_what_is_done_is_not_done_again(run: Script, tiny_results: bytes, reads, monkeypatch: pytest.MonkeyPatch):
    first = reads(5)
    assert run().status == 130
    assert len(first) == 5
    second = reads()
    outcome = run()
    done = int(re.findall(r"resuming: (\d) of 7 images are done", outcome.out)[0])
    assert 0 < done <= 5
    assert sorted(first[:done] + second) == list(range(7)), "what was kept is not done again"
    assert results().read_bytes() == tiny_results
    third = reads()
    with monkeypatch.context() as patch:
        patch.setattr("higherhrnet.cli.decoding.prepare", None)  # nothing is to be decoded
        assert "is up to date; --overwrite does it again" in run().out
    assert third == []
    assert run("--overwrite").status == 0
    assert sorted(third) == list(range(7))


@pytest.mark.parametrize("suffix", [".json", ".pictures.json"])
def test_what_comes_to_the_results_place_meanwhile_is_kept(run: Script, tiny_results: bytes, reads, suffix: str):
    place = results().with_suffix(suffix)

    def put() -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("[]")

    reads(3, put)
    said = error(run())
    assert f"{place} is a file that this command did not make; it came while this command was at work: move it" in said
    assert place.read_text() == "[]"
    again = reads()
    if suffix == ".json":  # that place is another's now
        assert run("OUTPUT_DIR", "elsewhere").status == 0
        assert Path("elsewhere", *results().parts[1:]).read_bytes() == tiny_results
    else:
        place.unlink()
        assert run().status == 0
        assert results().read_bytes() == tiny_results
    assert again == []


def test_a_change_that_would_mix_people_is_refused(
    run: Script, reads, tiny_onnx: Path, tiny_results: bytes, tmp_path: Path, monkeypatch
):
    reads(5)
    assert run().status == 130
    reads()
    journal = Path("run_work/people.jsonl").read_bytes()

    assert "another detection_threshold (0.1, not 0.2)" in error(run("TEST.DETECTION_THRESHOLD", 0.2))
    assert "another number of images (7, not 3)" in error(run("--limit", 3))
    assert "another dtype (float32, not float16)" in error(run("--dtype", "float16"))
    assert "another shard (1/1, not 1/2)" in error(run("--shard", "1/2", "--work", "run_work"))
    other = write_dataset(tmp_path / "other", seed=1, sizes=(*TINY_IMAGES[:-1], (641, 480)))
    assert "another data set (" in error(run(data=other))
    model = tmp_path / "other.onnx"
    network = onnx.load(tiny_onnx)
    network.graph.initializer.add(name="more", data_type=onnx.TensorProto.FLOAT, dims=[1], float_data=[0])
    onnx.save(network, model)
    assert "another model (" in error(run(model=model))
    with monkeypatch.context() as changed:
        changed.setattr(transform, "VERSION", transform.VERSION + 1)
        assert "another version of preprocessing (1, not 2)" in error(run())
    assert Path("run_work/people.jsonl").read_bytes() == journal, "nothing done was lost"
    assert run("TEST.DETECTION_THRESHOLD", 0.2, "--overwrite").status == 0
    assert run("--overwrite").status == 0
    assert results().read_bytes() == tiny_results


def test_bad_input_is_refused(run: Script, tmp_path: Path):
    assert re.search(r"--disk_budget is 0.001 MB, the people found take 0.0\d\d MB", error(run("--disk_budget", "1KB")))
    assert run("--disk_budget", "much").status == 2
    assert "shard 9/9 holds none of the 7 images" in error(run("--shard", "9/9"))
    assert "is not an ONNX file" in error(run(model=_file(tmp_path / "broken.onnx")))


def _file(path: Path) -> Path:
    path.write_bytes(b"no model")
    return path


@pytest.mark.parametrize("damage", ["missing", "truncated", "no image", "other size"])
def test_a_bad_image_stops_the_run_or_is_left_out_and_said(run: Script, tmp_path: Path, damage: str):
    data = write_dataset(tmp_path / "coco")
    image = data / "images/val2017/000000001021.jpg"  # index 3, the longest
    content = image.read_bytes()
    if damage == "missing":
        image.unlink()
    elif damage == "truncated":
        image.write_bytes(content[: len(content) * 2 // 3] + b"\xff\xd9")  # which OpenCV reads, with grey below
    elif damage == "no image":
        image.write_bytes(b"<html>404</html>")
    else:
        shutil.copy(data / "images/val2017/000000001000.jpg", image)
    message = error(run("--disk_budget", LEAST, data=data))
    assert "000000001021.jpg" in message
    outcome = run("--disk_budget", LEAST, "--skip_bad", data=data)
    assert outcome.status == 0, outcome.err
    assert "1 bad images were left out (--skip_bad):" in outcome.out
    assert "000000001021.jpg" in outcome.out
    assert "=> the figures are over 6 of 7 images" in outcome.out
    assert "=> 1 bad images were left out (--skip_bad)" in outcome.out
    found = {entry["image_id"] for entry in json.loads(results().read_bytes())}
    assert 1021 not in found
    skipped = results().read_bytes()

    image.write_bytes(content)
    assert run("--overwrite", data=data).status == 0
    whole = json.loads(results().read_bytes())
    assert [entry for entry in whole if entry["image_id"] != 1021] == json.loads(skipped)


def test_the_scripts_leave_bad_images_out_too(script: Script, tiny_onnx: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = write_dataset(tmp_path / "coco")
    (data / "images/val2017/000000001021.jpg").write_bytes(b"")
    cfg = ("--cfg", TINY_CONFIG, "DATASET.ROOT", data)
    trees = ("--output", "prep_bin", "--output_flip", "prep_bin_flip", "--workers", 1)
    assert "0 bytes that do not decode" in error(script("HigherHRNet_preprocess", *trees, *cfg))
    outcome = script("HigherHRNet_preprocess", *trees, "--skip_bad", *cfg)
    assert "6 images in prep_bin and prep_bin_flip" in outcome.out
    assert "1 bad images were left out (--skip_bad):\n  image " in outcome.out
    for tree in ("prep_bin", "prep_bin_flip"):
        assert script("gen_dataset_info", "bin", tree, tree).status == 0
    assert script("HigherHRNet_benchmark", *CPU, "--model", tiny_onnx, "--cfg", TINY_CONFIG).status == 0
    dump_dirs = ("--dump_dir", "result/dumpOutput_device0_bs1", "--dump_dir_flip", "result/dumpOutput_device0_bs1_flip")
    outcome = script("HigherHRNet_postprocess", *dump_dirs, "--workers", 1, *cfg)
    assert "=> the figures are over the 6 of 7 images that have dumps\n=> 1 bad images were left out" in outcome.out


# Shards


def test_three_shards_merge_into_one_run_s_bytes(run: Script, merge: Script, tiny_results: bytes):
    for shard in ("1/3", "2/3", "3/3"):
        outcome = run("--shard", shard, "--disk_budget", LEAST)
        assert outcome.status == 0, outcome.err
        assert "=> the figures are over" in outcome.out
    outcome = merge()
    assert outcome.status == 0, outcome.err
    assert results().read_bytes() == tiny_results
    assert f"{len(json.loads(tiny_results))} people in 7 images of 3 shards" in outcome.out
    assert leftovers() == []


def test_merge_refuses_what_is_not_one_whole(run: Script, merge: Script, tmp_path: Path):
    assert "holds no keypoints_val2017_results_IofN.json" in error(merge())
    for shard in ("1/2", "1/3", "2/3"):
        assert run("--shard", shard).status == 0
    parts = [results("_1of3"), results("_2of3")]
    assert "found shards of 2 and of 3 parts" in error(merge())
    assert "shards 3/3 are missing" in error(merge("--results", *parts))
    assert "shard 1/3 is given 2 times" in error(merge("--results", parts[0], *parts))
    assert run("--shard", "3/3", "TEST.DETECTION_THRESHOLD", 0.2).status == 0
    parts.append(results("_3of3"))
    assert "is not of the same work as" in error(merge("--results", *parts))
    assert run("--shard", "3/3", "--limit", 6).status == 0
    assert "another number of images (6, not 7)" in error(merge("--results", *parts))
    assert run("--shard", "3/3").status == 0
    parts[1].write_bytes(parts[1].read_bytes().replace(b"1", b"2", 1))
    assert "has changed since its record was written" in error(merge("--results", *parts))
    atomic.write_json(claim.record_of(parts[1]), {"complete": True})
    assert "was written by release 0.1.0" in error(merge("--results", *parts))
    atomic.write_json(claim.record_of(parts[1]), {"artifact": "PeopleWork", "format": 2, "complete": True})
    assert "found other fields than expected" in error(merge("--results", *parts))
    claim.record_of(parts[1]).unlink()
    assert "has no record of complete work" in error(merge("--results", *parts))
    assert not results().exists()


def test_each_script_does_one_shard(
    script: Script, merge: Script, tiny_data: Path, tiny_onnx: Path, tiny_results: bytes, tmp_path: Path, monkeypatch
):
    """Shard 1 from the images on; shard 2 from inputs of everything, at gen_dataset_info, then at the benchmark."""
    monkeypatch.chdir(tmp_path)
    cfg = ("--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data)

    def do(name: str, *args: object) -> str:
        outcome = script(name, *args)
        assert outcome.status == 0, outcome.err
        return outcome.out

    def preprocess(to: str, *shard: object) -> str:
        trees = ("--output", f"{to}/bins", "--output_flip", f"{to}/bins_flip")
        return do("HigherHRNet_preprocess", *trees, "--workers", 1, *shard, *cfg)

    def rest(at: str, lists: tuple = (), network: tuple = (), people: tuple = ()) -> None:
        for tree in ("bins", "bins_flip"):
            do("gen_dataset_info", "bin", f"{at}/{tree}", f"{at}/{tree}", *lists)
        names = ("--info", f"{at}/bins", "--info_flip", f"{at}/bins_flip", "--result", f"{at}/result")
        do(
            "HigherHRNet_benchmark",
            *names,
            *CPU,
            "--model",
            tiny_onnx,
            "--cfg",
            TINY_CONFIG,
            *network,
        )
        where = [f"{at}/result/dumpOutput_device0_bs1{flip}" for flip in ("", "_flip")]
        dump_dirs = ("--dump_dir", where[0], "--dump_dir_flip", where[1], "--workers", 1)
        do("HigherHRNet_postprocess", *dump_dirs, *people, *cfg)

    assert "3 images in" in preprocess("a", "--shard", "1/3")
    rest("a")
    preprocess("b")
    rest("b", lists=("--shard", "2/3"), network=("--shard", "2/3"))
    shutil.copytree("b/bins", "c/bins")
    shutil.copytree("b/bins_flip", "c/bins_flip")
    rest("c", network=("--shard", "3/3"))
    assert merge().status == 0
    assert results().read_bytes() == tiny_results

    outcome = script("gen_dataset_info", "bin", "a/bins", "a/other", "--shard", "2/3")
    assert "a/bins is of shard 1/3, not 2/3" in error(outcome)
    names = ("--info", "b/bins", "--info_flip", "b/bins_flip", "--result", "c/result", "--shard", "2/3")
    outcome = script("HigherHRNet_benchmark", *names, *CPU, "--model", tiny_onnx, "--cfg", TINY_CONFIG)
    assert "another shard (3/3, not 2/3); give another --result" in error(outcome)


def test_postprocess_of_an_incomplete_shard_is_refused(
    script: Script, tiny_inputs: Path, tiny_onnx: Path, tiny_data, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    lists = ("--info", tiny_inputs / "prep_bin", "--info_flip", tiny_inputs / "prep_bin_flip")
    assert script("HigherHRNet_benchmark", *lists, *CPU, "--model", tiny_onnx, "--cfg", TINY_CONFIG).status == 0
    for folder in Path("result").glob("dump*"):
        (folder / "record.json").unlink()
        for file in folder.glob("000000000004_*"):
            file.unlink()
    where = ("--dump_dir", "result/dumpOutput_device0_bs1", "--dump_dir_flip", "result/dumpOutput_device0_bs1_flip")
    cfg = ("--workers", 1, "--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data)
    assert script("HigherHRNet_postprocess", *where, "--shard", "1/3", *cfg).status == 0
    assert "no dumps of 1 of 2 images" in error(script("HigherHRNet_postprocess", *where, "--shard", "2/3", *cfg))


# float16, and the estimate


def test_float16_rounds_as_the_scripts_do(
    run: Script, script: Script, tmp_path: Path, tiny_data, tiny_onnx, tiny_results: bytes
):
    assert run().status == 0
    outcome = run("--dtype", "float16", "--overwrite")
    assert outcome.status == 0, outcome.err
    assert "(another dtype of inputs (float32, not float16), another dtype (float32, not float16))" in outcome.out
    assert results().read_bytes() != tiny_results
    from_run = results().read_bytes()

    cfg = ("--cfg", TINY_CONFIG, "DATASET.ROOT", tiny_data, "OUTPUT_DIR", "scripts")
    trees = ("--output", "prep_bin", "--output_flip", "prep_bin_flip")
    assert script("HigherHRNet_preprocess", *trees, "--workers", 1, "--dtype", "float16", *cfg).status == 0
    for tree in ("prep_bin", "prep_bin_flip"):
        assert script("gen_dataset_info", "bin", tree, tree).status == 0
    outcome = script(
        "HigherHRNet_benchmark",
        *CPU,
        "--model",
        tiny_onnx,
        "--cfg",
        TINY_CONFIG,
        "--dtype",
        "float16",
    )
    assert outcome.status == 0, outcome.err
    dump_dirs = ("--dump_dir", "result/dumpOutput_device0_bs1", "--dump_dir_flip", "result/dumpOutput_device0_bs1_flip")
    assert script("HigherHRNet_postprocess", *dump_dirs, "--workers", 1, *cfg).status == 0
    assert Path(RESULTS.replace("output", "scripts", 1).format("")).read_bytes() == from_run


def test_a_dry_run_says_what_5000_images_take_and_leaves_nothing(run: Script, tmp_path: Path):
    outcome = run("--dry_run", "--disk_budget", "100MB")
    assert outcome.status == 0, outcome.err
    table = [re.split(r" {2,}", line) for line in outcome.out.splitlines()]
    lines = {cells[0]: cells[-1] for cells in table}
    assert ["", "7 images", "5000 images"] in table
    assert {"preprocess", "infer", "decode", "disk, run"} <= set(lines)
    assert lines["disk, run"] == "people only"
    # 5000/7 times the bytes of these seven inputs and mirrored inputs.
    sizes = [128 * 192] * 3 + [128 * 128] + [128 * 256] * 3
    assert lines["disk, six scripts: inputs"] == f"{2 * 12 * sum(sizes) * 5000 / 7 / 1e9:.1f} GB"
    assert list(tmp_path.iterdir()) == []
