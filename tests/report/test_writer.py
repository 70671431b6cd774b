"""A report's files: over which images, of which results, and what is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from higherhrnet.artifacts import atomic, claim, outputs
from higherhrnet.artifacts.claim import Facts, Record
from higherhrnet.artifacts.work import PeopleWork
from higherhrnet.dataset import coco, evaluation
from higherhrnet.errors import UserError
from higherhrnet.report import writer
from higherhrnet.report.analysis.numbers import Amount
from higherhrnet.report.writer import ReportJob
from tests.support import reports
from tests.support.reports import Files

QUICK = Amount(draws=5, pictures=2)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Not to be changed."""
    return reports.write(tmp_path_factory.mktemp("report"))


def job(files: Files, folder: Path) -> ReportJob:
    """All that there is."""
    return ReportJob(
        coco.Location(str(files.root), "val2017"),
        files.results,
        folder / "out/report.html",
        json=folder / "out/report.json",
        against=files.against,
        amount=QUICK,
    )


def test_both_files_hold_the_same_numbers_and_these_are_the_official_ones(files: Files, tmp_path: Path) -> None:
    made = writer.run(job(files, tmp_path))
    assert made.files == [tmp_path / "out/report.json", tmp_path / "out/report.html"]
    said = json.loads(made.files[0].read_text())
    dataset = coco.load(files.annotations)
    ids = [image.image_id for image in dataset.images]
    official = evaluation.evaluate(dataset, files.results, ids)
    assert {row["name"]: row["value"] for row in said["figures"]} == pytest.approx(
        {name: None if value < 0 else value for name, value in official.items()}, abs=1e-9
    )
    before = evaluation.evaluate(dataset, files.against, ids)
    assert said["comparison"]["figures"][0]["before"] == pytest.approx(before["AP"], abs=1e-9)
    page = made.files[1].read_text()
    for row in said["figures"]:
        assert row["value"] is None or f"{row['name']}<b>{row['value']:.3f}</b>" in page
    assert "Over all 12 images." in page


def test_equal_work_gives_equal_bytes_and_replaces_its_own(files: Files, tmp_path: Path) -> None:
    wanted = job(files, tmp_path)
    first = [file.read_bytes() for file in writer.run(wanted).files]
    assert [file.read_bytes() for file in writer.run(wanted).files] == first
    assert all(outputs.is_marked(file) for file in writer.run(wanted).files)


def test_a_picture_that_is_missing_is_counted(files: Files, tmp_path: Path) -> None:
    wanted = replace(job(files, tmp_path), amount=Amount(draws=0, pictures=12))
    notes = " ".join(writer.run(wanted).notes)
    assert re.search(r"1 of \d+ pictures are drawn without their image; the first: cannot read image .*12\.jpg", notes)
    said = json.loads((tmp_path / "out/report.json").read_text())
    assert said["figures"][0]["interval"] is None  # no draws
    assert said["subject"]["notes"] == list(writer.run(wanted).notes)


def of_record(files: Files, folder: Path, *, images: int, left_out: list[int]) -> Path:
    """The results with a record that says what they are over."""
    results = folder / "recorded.json"
    results.write_bytes(files.results.read_bytes())
    work = PeopleWork(coco.load(files.annotations).fingerprint, images, "1/1", {}, {}, {}, 1)
    claim.write(results, Record(work, Facts(left_out=left_out, sha256=atomic.sha256(results)), complete=True))
    return results


def test_a_record_says_over_which_images_results_are(files: Files, tmp_path: Path) -> None:
    results = of_record(files, tmp_path, images=8, left_out=[2])
    wanted = replace(job(files, tmp_path), results=results, against=None)
    notes = writer.run(wanted).notes
    assert not any("no record" in note for note in notes)
    said = json.loads((tmp_path / "out/report.json").read_text())
    assert said["subject"]["over"] == "7 of 12 images"
    ids = [row["id"] for row in files.content["images"][:8] if row["id"] != 3]
    official = evaluation.evaluate(coco.load(files.annotations), results, ids)
    assert said["figures"][0]["value"] == pytest.approx(official["AP"], abs=1e-9)
    assert "Over 7 of 12 images." in (tmp_path / "out/report.html").read_text()
    chosen = replace(wanted, image_ids=ids[:2])
    writer.run(chosen)
    assert json.loads((tmp_path / "out/report.json").read_text())["subject"]["over"] == "2 of 12 images"


def test_compared_are_the_images_of_both(files: Files, tmp_path: Path) -> None:
    results = of_record(files, tmp_path, images=5, left_out=[])
    writer.run(replace(job(files, tmp_path), against=results))
    assert json.loads((tmp_path / "out/report.json").read_text())["subject"]["over"] == "5 of 12 images"


def test_results_that_were_changed_or_are_of_other_data_are_refused(files: Files, tmp_path: Path) -> None:
    results = of_record(files, tmp_path, images=12, left_out=[])
    wanted = replace(job(files, tmp_path), results=results)
    with results.open("a") as file:
        file.write("\n")
    with pytest.raises(UserError, match=r"recorded\.json was changed since it was written"):
        writer.run(wanted)
    made = claim.read(results, PeopleWork)
    assert made is not None
    claim.write(results, replace(made, work=replace(made.work, dataset="other")))
    with pytest.raises(UserError, match=r"recorded\.json is of another data set"):
        writer.run(wanted)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"image_id": 99}, "entry 1 is"),
        ({"score": float("nan")}, "entry 1 is"),
        ({"keypoints": [1, 2, 3]}, "with 51 numbers as keypoints and a score"),
        ({"category_id": 2}, "expected a person"),
    ],
)
def test_results_that_are_none_are_named(files: Files, tmp_path: Path, entry: dict, message: str) -> None:
    rows = json.loads(files.results.read_text())
    rows[1] |= entry
    (tmp_path / "bad.json").write_text(json.dumps(rows))
    with pytest.raises(UserError, match=message):
        writer.run(replace(job(files, tmp_path), results=tmp_path / "bad.json"))
    assert not (tmp_path / "out").exists()


def test_what_may_not_be_written_is_refused_before_anything_is_read(files: Files, tmp_path: Path) -> None:
    wanted = job(files, tmp_path)
    (tmp_path / "mine.html").write_text("mine")
    for changed, message in (
        ({"output": tmp_path / "mine.html"}, "did not make; give another path with --output"),
        ({"output": tmp_path / "mine.html", "flag": "--report"}, "give another path with --report"),
        ({"json": files.results}, "is an input"),
        ({"output": wanted.json}, "are both"),
        ({"dumps": [tmp_path] * 3}, "--dumps names 3 directories"),
        ({"location": coco.Location(str(files.root), "test2017")}, "has no annotations here"),
    ):
        with pytest.raises(UserError, match=message):
            writer.check(replace(wanted, results=files.results, **changed))
    writer.check(replace(wanted, output=tmp_path / "mine.html", overwrite=True))


def test_people_of_two_categories_are_refused(files: Files, tmp_path: Path) -> None:
    content = json.loads(files.annotations.read_text())
    content["categories"].append({"id": 2, "name": "dog"})
    content["annotations"][0]["category_id"] = 2
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/person_keypoints_val2017.json").write_text(json.dumps(content))
    wanted = replace(job(files, tmp_path), location=coco.Location(str(tmp_path), "val2017"))
    with pytest.raises(UserError, match="has annotations of category 2, expected 1 alone"):
        writer.run(wanted)
