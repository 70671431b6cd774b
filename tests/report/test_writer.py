"""A report's files: over which images, of which results, and what is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from higherhrnet.artifacts import atomic, claim, outputs
from higherhrnet.artifacts.claim import Facts, Record
from higherhrnet.artifacts.work import PeopleWork
from higherhrnet.dataset import coco, evaluation, joints
from higherhrnet.dataset.ground_truth import EvaluationProtocol
from higherhrnet.errors import UserError
from higherhrnet.report import writer
from higherhrnet.report.analysis.numbers import Amount
from higherhrnet.report.page import page
from higherhrnet.report.writer import ReportJob
from tests.support import crowd, reports
from tests.support.reports import Files

pytestmark = pytest.mark.slow

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
    again = writer.run(wanted).files
    assert [file.read_bytes() for file in again] == first
    assert [outputs.marked(page.KIND)(file) for file in again] == [False, True]
    for exchanged in (replace(wanted, output=wanted.json, json=None), replace(wanted, output=None, json=wanted.output)):
        with pytest.raises(UserError, match="is a file that this command did not make; give another path with"):
            writer.run(exchanged)
    assert [file.read_bytes() for file in again] == first


@pytest.mark.usefixtures("no_charts")
def test_a_picture_that_is_missing_is_counted(files: Files, tmp_path: Path) -> None:
    wanted = replace(job(files, tmp_path), amount=Amount(draws=0, pictures=12))
    made = writer.run(wanted)
    notes = " ".join(made.notes)
    assert re.search(r"1 of \d+ pictures are drawn without their image; the first: cannot read image .*12\.jpg", notes)
    said = json.loads((tmp_path / "out/report.json").read_text())
    assert said["figures"][0]["interval"] is None  # no draws
    assert said["subject"]["notes"] == list(made.notes)


def of_record(
    files: Files,
    folder: Path,
    *,
    images: int,
    left_out: list[int],
    inputs: dict[str, Any] | None = None,
    calibrated_on: list[int] | None = None,
) -> Path:
    """The results with a record that says what they are over."""
    results = folder / "recorded.json"
    results.write_bytes(files.results.read_bytes())
    work = PeopleWork(coco.load(files.annotations).fingerprint, images, "1/1", inputs or {}, {}, {}, 1)
    facts = Facts(left_out=left_out, calibrated_on=calibrated_on or [], sha256=atomic.sha256(results))
    claim.write(results, Record(work, facts, complete=True))
    return results


@pytest.mark.usefixtures("no_charts")
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
    chosen = replace(wanted, image_ids=ids[:2], output=None)
    writer.run(chosen)
    assert json.loads((tmp_path / "out/report.json").read_text())["subject"]["over"] == "2 of 12 images"


def test_compared_are_the_images_of_both(files: Files, tmp_path: Path) -> None:
    results = of_record(files, tmp_path, images=5, left_out=[])
    writer.run(replace(job(files, tmp_path), against=results, output=None))
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
        ({"against": files.root / "annotations/../results.json"}, "are one file; give other results"),
        ({"dumps": [tmp_path] * 3}, "--dumps names 3 directories"),
        ({"location": coco.Location(str(files.root), "test2017")}, "has no annotations here"),
    ):
        with pytest.raises(UserError, match=message):
            writer.check(replace(wanted, results=files.results, **changed))
    writer.check(replace(wanted, output=tmp_path / "mine.html", overwrite=True))


def own_data(folder: Path) -> tuple[ReportJob, coco.Dataset]:
    """Five joints of other names, category 0, ids from 0, no iscrowd, another category beside people's."""
    names = ("nose", "L_Wrist", "R_Wrist", "L_Ankle", "R_Ankle")
    of = joints.Description().complete(names)
    content = crowd.drawn(8, seed=3, names=of)
    entries = crowd.exact(content, np.random.default_rng(2), noise=1.0)
    for row in content["annotations"]:
        row |= {"id": row["id"] - 1, "category_id": 0}
        del row["iscrowd"]
    for row in content["annotations"][::2]:
        del row["area"]  # the box's
    content["annotations"].append({"id": 999, "image_id": 1, "category_id": 7})
    content["categories"] = [
        {"id": 7, "name": "dog"},
        {"id": 0, "name": "person", "keypoints": list(names), "skeleton": [[1, 2]]},
    ]
    (folder / "people.json").write_text(json.dumps(content))
    (folder / "results.json").write_text(json.dumps([{**entry, "category_id": 0} for entry in entries]))
    location = coco.Location("", "val2017", annotation_file=str(folder / "people.json"), image_folder=str(folder))
    people = EvaluationProtocol(of)
    wanted = ReportJob(location, folder / "results.json", folder / "r.html", people, json=folder / "r.json")
    return replace(wanted, amount=QUICK), coco.load(folder / "people.json", people)


@pytest.mark.usefixtures("no_charts")
def test_own_data_are_read_as_the_evaluation_reads_them(tmp_path: Path) -> None:
    """Its figures, its notes, its joints; left and right are told as the joint set tells them."""
    wanted, dataset = own_data(tmp_path)
    notes = writer.run(wanted).notes
    official = evaluation.evaluate(dataset, wanted.results, range(1, 9), wanted.protocol)
    said = json.loads((tmp_path / "r.json").read_text())
    found = {row["name"]: row["value"] for row in said["figures"]}
    assert found == pytest.approx({k: None if v < 0 else v for k, v in official.items()}, abs=1e-9)
    assert 0.1 < found["AP"] < 0.9
    assert said["names"] == ["nose", "L_Wrist", "R_Wrist", "L_Ankle", "R_Ankle"]
    assert said["sides"] == ["middle", "left", "right", "left", "right"]
    assert {row["name"] for row in said["joints"]} == set(said["names"])
    together = " ".join(notes)
    assert "1 annotations of other categories do not count" in together
    assert "with a sigma of 0.072 for 4 joints" in together
    assert re.search("[0-9]+ annotations lack area; it is the box's", together)
    page = (tmp_path / "r.html").read_text()
    assert "in the mirrored image change places: L_Wrist-R_Wrist, L_Ankle-R_Ankle" in page


def test_results_of_another_category_are_named(tmp_path: Path) -> None:
    wanted, _ = own_data(tmp_path)
    entries = json.loads(wanted.results.read_text())
    wanted.results.write_text(json.dumps([{**entry, "category_id": 1} for entry in entries]))
    with pytest.raises(UserError, match=r"expected a person \(category_id 0\) .* with 15 numbers as keypoints"):
        writer.run(wanted)


@pytest.mark.usefixtures("no_charts")
def test_pictures_are_turned_as_the_results_were(files: Files, tmp_path: Path) -> None:
    """Recorded as made with --exif: pictures are read so, and other results have to be of such pictures too."""
    root = tmp_path / "turned"
    (root / "annotations").mkdir(parents=True)
    (root / "images/val2017").mkdir(parents=True)
    (root / "annotations/person_keypoints_val2017.json").write_bytes(files.annotations.read_bytes())
    orientation = PIL.Image.Exif()
    orientation[0x112] = 6
    width, height = crowd.SIDE
    lying = PIL.Image.fromarray(np.full((width, height, 3), 90, np.uint8))  # [H, W] of the other order
    for row in files.content["images"]:
        lying.save(root / "images/val2017" / row["file_name"], exif=orientation)
    results = of_record(files, tmp_path, images=12, left_out=[], inputs={"exif": True})
    wanted = replace(job(files, tmp_path), location=coco.Location(str(root), "val2017"), results=results, against=None)
    assert not writer.run(wanted).notes
    assert (tmp_path / "out/report.html").read_text().count("data:image/jpeg;base64,") > 3
    with pytest.raises(UserError, match=r"only .*recorded\.json is of pictures that were turned \(--exif\)"):
        writer.run(replace(wanted, against=files.against))


def test_pictures_are_those_that_people_were_found_in(files: Files, tmp_path: Path) -> None:
    """Of the same names: neither shown with results of others, nor compared with them."""
    made = of_record(files, tmp_path, images=11, left_out=[])
    other = made.with_name("other.json")
    other.write_bytes(made.read_bytes())
    record = claim.read(made, PeopleWork)
    assert record is not None
    for place, digest in ((made, "a" * 64), (other, "b" * 64)):
        claim.write(place, replace(record, facts=replace(record.facts, pictures=digest)))
    wanted = replace(job(files, tmp_path), results=made, against=None)
    with pytest.raises(
        UserError, match=r"recorded\.json is of other pictures than those in .*val2017 now \(aaaaaaaa, not"
    ):
        writer.run(wanted)
    assert not writer.run(replace(wanted, output=None)).notes, "shows none"
    with pytest.raises(
        UserError, match=r"other\.json is of other pictures than .*recorded\.json \(bbbbbbbb, not aaaaaaaa"
    ):
        writer.run(replace(wanted, against=other, output=None))


def test_calibration_images_are_said(files: Files, tmp_path: Path) -> None:
    results = of_record(files, tmp_path, images=8, left_out=[2], calibrated_on=[1, 2, 5])
    notes = writer.run(replace(job(files, tmp_path), results=results, against=None, output=None)).notes
    assert notes == [f"the network of {results} was calibrated on 2 of its images: the figures flatter it"]
