"""People from anything: the six scripts' people, resumed work, bad sources by name, lines for pipes."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from higherhrnet import Pose
from higherhrnet.backends.in_process import Session
from higherhrnet.backends.onnxruntime import OnnxRuntime
from higherhrnet.cli import program, uses
from higherhrnet.errors import BadImageError
from higherhrnet.image import reader
from higherhrnet.pipeline import sources
from tests.support.datasets import ROOT, TINY_CONFIG
from tests.support.programs import CPU, Outcome
from tests.support.videos import clip, sound_alone

av = pytest.importorskip("av")

Predict = Callable[..., Outcome]
ALL = ("--min_score", 0, "--oks_nms", 0)


@pytest.fixture
def predict(tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> Predict:
    monkeypatch.chdir(tmp_path)

    def call(*args: object) -> Outcome:
        capsys.readouterr()
        model = (*CPU, "--model", tiny_onnx, "--cfg", TINY_CONFIG)
        from higherhrnet.cli import predict as command  # noqa: PLC0415

        status = program.run(command.main, [str(arg) for arg in (*args, *model)])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return call


@pytest.fixture
def pictures(tiny_data: Path) -> Path:
    return tiny_data / "images/val2017"


def test_people_are_the_six_scripts(predict: Predict, pictures: Path, tiny_results: bytes):
    outcome = predict(pictures, *ALL)
    assert outcome.status == 0, outcome.err
    found = json.loads(Path("poses/poses.json").read_text())
    names = sorted({Path(entry["source"]).name for entry in found})
    wanted = json.loads(tiny_results)
    assert [entry["source"] for entry in found] == sorted(entry["source"] for entry in found)
    for name in names:
        ours = [entry for entry in found if Path(entry["source"]).name == name]
        theirs = [entry for entry in wanted if entry["image_id"] == int(Path(name).stem)]
        assert [(e["keypoints"], e["score"], e["bbox"]) for e in ours] == [
            (e["keypoints"], e["score"], e["bbox"]) for e in theirs
        ]
    assert len(found) == len(wanted) > 0


def test_sources_in_another_order_and_back(predict: Predict, pictures: Path, tmp_path: Path):
    """A frame whose place another source took is done again, though its video had come to its end."""
    video, picture = clip(tmp_path / "clip.mp4", frames=3), min(pictures.iterdir())
    assert predict(video, picture, "--no_flip", *ALL).status == 0
    first = Path("poses/poses.json").read_bytes()
    assert predict(picture, video, "--no_flip", *ALL).status == 0
    outcome = predict(video, picture, "--no_flip", *ALL)
    assert "in 4 pictures" in outcome.out
    assert Path("poses/poses.json").read_bytes() == first
    assert "4 of them done before" in predict(video, picture, "--no_flip", *ALL).out
    assert "another flip test (False, not True)" in predict(video, picture, *ALL).err


def test_a_picture_of_another_name_is_another(predict: Predict, pictures: Path):
    """Results and drawn pictures have the names of this run."""
    first, second = sorted(pictures.iterdir())[:2]
    for name, source in (("x/a.jpg", first), ("y/a.jpg", second), ("x/b.jpg", first)):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(source.read_bytes())
    for names in (("x/a.jpg", "y/a.jpg"), ("x/b.jpg", "y/a.jpg")):
        assert predict(*names, "--save", "json,images", *ALL).status == 0
        assert {entry["source"] for entry in json.loads(Path("poses/poses.json").read_text())} == set(names)
    drawn = {name: Path(f"poses/images/{name}.jpg").read_bytes() for name in ("a", "a_2", "b")}
    assert drawn["a"] == drawn["a_2"] != drawn["b"]


@pytest.mark.slow
def test_what_is_done_is_not_done_again(predict: Predict, pictures: Path, tmp_path: Path):
    video = clip(tmp_path / "clip.mp4")
    kinds = ("--save", "json,csv,openpose")
    assert predict(pictures, video, *kinds, *ALL).status == 0
    first = {path.name: path.read_bytes() for path in Path("poses").glob("poses.[jc]s*")}
    journal = Path("poses/poses.jsonl")
    rows = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(rows[:10]))  # a run that was stopped in the video
    outcome = predict(pictures, video, *kinds, *ALL)
    assert "in 13 pictures, 9 of them done before" in outcome.out
    assert {name: (Path("poses") / name).read_bytes() for name in first if name != journal.name} == {
        name: content for name, content in first.items() if name != journal.name
    }
    assert "13 of them done before" in predict(pictures, video, *kinds, *ALL).out
    other = predict(pictures, video, *kinds, "--min_score", 0.5)
    assert other.status == 1
    assert "another min_score (0, not 0.5)" in other.err.replace("0.0", "0")
    assert predict(pictures, video, *kinds, "--overwrite").status == 0


@pytest.mark.parametrize("name", ["poses.json", "poses.csv", "images/own.jpg"])
def test_what_somebody_changed_is_kept(predict: Predict, pictures: Path, tmp_path: Path, name: str):
    """In a folder of ours too, where somebody corrected what was found."""
    file, more = sorted(pictures.glob("*.jpg"))[:2]
    kinds = ("--save", "json,csv,images")
    assert predict(file, *kinds).status == 0
    assert predict(file, *kinds).status == 0
    shutil.copy(more, "own.jpg")
    Path("poses", name).write_text("mine")
    said = predict(file, "own.jpg", *kinds).err
    assert f"poses/{name} is a file that this command did not make; give another path with --output, or --over" in said
    assert Path("poses", name).read_text() == "mine"
    assert predict(file, "own.jpg", *kinds, "--overwrite").status == 0
    assert predict(file, "own.jpg", *kinds).status == 0


def test_joints_that_are_drawn_otherwise_are_other_work(predict: Predict, pictures: Path, tmp_path: Path):
    """The same people, but not on pictures that are there."""
    given = (next(pictures.glob("*.jpg")), "--save", "images", "--set", "DATASET.JOINTS", "own.yaml")
    text = (ROOT / "higherhrnet/dataset/joint_sets/coco.yaml").read_text()
    Path("own.yaml").write_text(text)
    assert predict(*given).status == 0
    assert "1 of them done before" in predict(*given).out
    assert text.count("- [left_ankle, left_knee]") == 1
    Path("own.yaml").write_text(text.replace("- [left_ankle, left_knee]", "- [left_ankle, left_hip]"))
    assert "another set of joints" in predict(*given).err
    assert predict(*given, "--overwrite").status == 0


def test_bad_sources_are_named_and_the_others_done(predict: Predict, pictures: Path, tmp_path: Path):
    (tmp_path / "名 前\n.jpg").write_bytes(sorted(pictures.iterdir())[0].read_bytes())
    picture = sorted(pictures.iterdir())[0].read_bytes()
    (tmp_path / "half.jpg").write_bytes(picture[: len(picture) // 2] + b"\xff\xd9")
    (tmp_path / "no video.mp4").write_bytes(b"\0" * 1000)
    cv2.imwrite(str(tmp_path / "one pixel.png"), np.zeros((1, 1, 3), np.uint8))
    (tmp_path / "empty").mkdir()
    sound_alone(tmp_path / "sound.mp4")
    os.mkfifo("pipe.mp4")
    Path("circle.jpg").symlink_to("circle.jpg")
    whole = clip(tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    outcome = predict(
        "名 前\n.jpg",
        "one pixel.png",
        "no video.mp4",
        "cut.mp4",
        "sound.mp4",
        "empty",
        "*.tiff",
        "nobody.jpg",
        "half.jpg",
        "pipe.mp4",
        "circle.jpg",
        "camera:99",
    )
    assert outcome.status == 1
    said = [line for line in outcome.err.splitlines() if line.startswith(("error:", "also not read:"))]
    for name in (
        "no video.mp4",
        "cut.mp4",
        "sound.mp4: it has no pictures",
        "folder empty",
        "pattern *.tiff",
        "nobody.jpg",
        "half.jpg: its data is damaged",
        "pipe.mp4: not a regular file",
        "circle.jpg: Too many levels of symbolic links",
        "camera:99",
    ):
        assert sum(name in line for line in said) == 1, (name, outcome.err)
    assert len(said) == 10
    assert "\nCorrupt JPEG data" not in outcome.err, "libjpeg's own words, without a name"
    assert "Traceback" not in outcome.err
    assert "in 2 pictures" in outcome.out


@pytest.mark.parametrize("flag", [("--save", "csv"), ("--overwrite",)])
def test_lines_are_no_files(predict: Predict, flag: tuple[str, ...]):
    assert (
        f"error: {flag[0]} has no effect with --output -, which writes lines alone"
        in predict("x.jpg", "--output", "-", *flag).err
    )


def test_lines_for_pipes(predict: Predict, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing else is among them, such as what a GPU's session says of itself."""
    opened = OnnxRuntime.open

    def told(self: OnnxRuntime, shape: tuple[int, int], device: int = 0) -> Session:
        print("its kernels were tried")
        return opened(self, shape, device)

    monkeypatch.setattr(OnnxRuntime, "open", told)
    outcome = predict(clip(tmp_path / "clip.mp4"), "--output", "-", "--stride", 2, "--track", *ALL)
    assert outcome.status == 0, outcome.err
    assert "its kernels were tried" in outcome.err
    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert [row["frame"] for row in rows] == [0, 2, 4]
    assert [row["time"] for row in rows] == pytest.approx([0, 0.2, 0.9]), "its own time stamps"
    assert all("track_id" in person for row in rows for person in row["people"])
    assert not Path("poses").exists()


def test_drawn_videos_keep_times_and_stand_upright(predict: Predict, tmp_path: Path):
    outcome = predict(clip(tmp_path / "lying.mp4", turn=90), "--save", "video,csv", *ALL)
    assert outcome.status == 0, outcome.err
    with av.open("poses/video/lying.mp4") as drawn:
        frames = list(drawn.decode(video=0))
    assert [(frame.width, frame.height) for frame in frames] == [(64, 96)] * 6
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.8, 0.9, 1.0], abs=1e-3)
    with Path("poses/poses.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(bool(row["x"]) == (float(row["score"]) > 0) for row in rows)


def test_drawn_videos_keep_their_sound(predict: Predict, tmp_path: Path):
    def packets(path: str | Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(audio=0) if packet.size]

    outcome = predict(clip(tmp_path / "sound.mp4", sound=True), "--save", "video", *ALL)
    assert outcome.status == 0, outcome.err
    assert "silent" not in outcome.out
    kept, own = packets("poses/video/sound.mp4"), packets(tmp_path / "sound.mp4")
    assert len(own) >= 8
    assert set(kept) <= set(own)
    # The encoder's lead-in lies before the first picture, and is left out.
    assert len(kept) >= len(own) - 2


def test_frames_of_a_few_pixels(predict: Predict, tmp_path: Path):
    outcome = predict(clip(tmp_path / "tiny.mp4", size=(2, 2)), "--save", "json,images,video", *ALL)
    assert outcome.status == 0, outcome.err
    assert "in 6 pictures" in outcome.out
    with av.open("poses/video/tiny.mp4") as drawn:
        assert [(frame.width, frame.height) for frame in drawn.decode(video=0)] == [(2, 2)] * 6


def test_a_video_of_one_pixel_with_a_name_for_no_shell(predict: Predict, tmp_path: Path):
    name = "一 个\nvi:deo.mkv"
    with av.open(f"file:{tmp_path / name}", "w") as output:
        stream = output.add_stream("ffv1", rate=10)  # H.264 takes even sides
        stream.width = stream.height = 1
        for _ in range(2):
            frame = av.VideoFrame.from_ndarray(np.full((1, 1, 3), 200, np.uint8), format="rgb24")
            output.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        output.mux(stream.encode(None))
    outcome = predict(name, "--save", "json,csv,openpose,images,video", *ALL)
    assert outcome.status == 0, outcome.err
    assert "in 2 pictures" in outcome.out
    with av.open("poses/video/一 个\nvideo.mp4") as drawn:
        assert [(frame.width, frame.height) for frame in drawn.decode(video=0)] == [(2, 2)] * 2
    assert len(list(Path("poses/openpose").iterdir())) == 2


def test_openvino_finds_the_same_people(tiny_onnx: Path, pictures: Path):
    """But for the last digits: its sums are in another order."""
    pytest.importorskip("openvino")
    file = sorted(pictures.iterdir())[0]
    found = []
    for backend in ("onnxruntime", "openvino"):
        with Pose(tiny_onnx, backend=backend, config=TINY_CONFIG, min_score=0, oks_nms=0) as pose:
            found.append(pose(file))
    assert len(found[0]) == len(found[1]) > 0
    np.testing.assert_allclose(found[1].scores, found[0].scores, atol=1e-4)


def test_a_folder_of_others_is_refused(predict: Predict, pictures: Path, tmp_path: Path):
    (tmp_path / "poses").mkdir()
    (tmp_path / "poses/thesis.tex").write_text("mine")
    outcome = predict(pictures)
    assert outcome.status == 1
    assert "--output poses holds files that this command did not make" in outcome.err


def test_what_would_do_nothing_to_these_sources_is_refused(predict: Predict, pictures: Path, tmp_path: Path):
    """A folder of pictures, a video; of a mixture each flag takes what it is for."""
    for flag in (("--stride", 1), ("--track",)):
        assert (
            f"error: {flag[0]} is for a video or camera, and no source is one; omit it" in predict(pictures, *flag).err
        )
    assert "--save video is for a video or camera, and no source" in predict(pictures, "--save", "video").err
    video = clip(tmp_path / "clip.mp4")
    assert "--no_exif is for a picture, and no source is one; omit it" in predict(video, "--no_exif").err
    assert not Path("poses").exists()
    outcome = predict(
        video, pictures / "000000001000.jpg", "--stride", 4, "--track", "--no_exif", "--save", "csv,video"
    )
    assert outcome.status == 0, outcome.err


def test_a_list_may_name_what_a_flag_is_for():
    assert sources.kinds(["-"]) == sources.kinds(["a.jpg", "-"]) == frozenset()
    uses.check("predict", ["--track", "--no_exif", "--stride=2"], kinds=sources.kinds(["-"]))
    assert sources.kinds(["a.jpg", "b.mp4", "camera:0"]) == {"picture", "video", "camera"}


@pytest.mark.slow
def test_a_lower_precision_says_whether_people_are_float32_s(tiny_weights: Path, pictures: Path, capsys):
    """Once, beside the lines of people; the API has it as values."""
    from higherhrnet.cli import predict as command  # noqa: PLC0415

    picture = next(pictures.iterdir())
    how = ("--backend", "torch", "--device", "cpu", "--threads", 1, "--precision", "bfloat16")
    arguments = (picture, "--output", "-", "--model", tiny_weights, "--cfg", TINY_CONFIG, *how)
    status = program.run(command.main, list(map(str, arguments)))
    captured = capsys.readouterr()
    assert status == 0, captured.err
    assert len(captured.out.splitlines()) == 1
    (line,) = [line for line in captured.err.splitlines() if "against float32" in line]
    assert "torch cpu bfloat16 against float32, the first picture of 1 shape: " in line
    with Pose(tiny_weights, backend="torch", config=TINY_CONFIG, precision="bfloat16", threads=1) as pose:
        pose(picture)
        assert pose.agreement is not None
        ((shape, one),) = pose.agreement.shapes.items()
    assert f"{one.same} of {one.exact} the same" in line or one.agrees
    assert min(shape) == 128


def test_the_api(tiny_onnx: Path, pictures: Path, tmp_path: Path):
    files = sorted(pictures.iterdir())
    with Pose(tiny_onnx, config=TINY_CONFIG, min_score=0, oks_nms=0, exif=False) as pose:
        of_folder = list(pose.stream(pictures))
        assert [people.source for people in of_folder] == [str(file) for file in files]
        pixels = reader.read_image(files[0])
        for people in (pose(files[0]), pose(pixels), of_folder[0]):
            assert people.keypoints.shape == (len(people), 17, 3)
            assert np.array_equal(people.keypoints, of_folder[0].keypoints)
            assert people.boxes.shape == (len(people), 4)
            assert people.joints == pose.joints
            assert len(people.to_coco()) == len(people) > 0
        drawn = of_folder[0].draw(pixels)
        assert drawn.shape == pixels.shape
        assert (drawn != pixels).any()
        with pytest.raises(BadImageError, match="nobody"):
            pose("nobody.jpg")
        with pytest.raises(ValueError, match="expected RGB uint8"):
            pose(pixels.astype(float))
        assert [p.source for p in pose.stream(["nobody.jpg", files[1]], skip_bad=True)] == [str(files[1])]
        tracked = list(pose.stream([pixels, pixels], track=True))
        assert tracked[0].tracks is not None
        assert sorted(tracked[0].tracks) == list(range(1, len(tracked[0]) + 1))
        assert tracked[1].tracks is not None
        assert np.array_equal(tracked[0].tracks, tracked[1].tracks)


@pytest.mark.slow
def test_the_page_s_example_runs(tiny_onnx: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    Path("models/tiny_bs1_dynamic.onnx").symlink_to(tiny_onnx)
    Path("tiny.yaml").symlink_to(TINY_CONFIG)
    Path("images").symlink_to(pictures)
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL)
    said: list[tuple] = []
    exec(example, {"print": lambda *values: said.append(values)})
    assert len(said) == 1 + len(list(pictures.iterdir()))
    assert said[0][1][1:] == (17, 3)
