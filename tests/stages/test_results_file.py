"""Results files: ours are read as they were written, others are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from higherhrnet.artifacts import pictures
from higherhrnet.artifacts.claim import Facts, Record
from higherhrnet.dataset import coco
from higherhrnet.dataset.coco import Dataset, Image, Location
from higherhrnet.errors import UserError
from higherhrnet.image import reader
from higherhrnet.stages import results_file
from tests.support.works import PEOPLE

ENTRIES = [{"image_id": 1, "category_id": 1, "keypoints": [0.1, 1e-7, 2.0], "score": 0.5, "bbox": [0.0] * 4}]


def test_results_are_read_as_they_were_written(tmp_path: Path):
    results = tmp_path / "r.json"
    made = results_file.write(results, ENTRIES, Record(PEOPLE))
    assert results_file.read(results, made) == ENTRIES


def test_others_in_their_place_are_refused(tmp_path: Path):
    results = tmp_path / "r.json"
    made = results_file.write(results, ENTRIES, Record(PEOPLE))
    results.write_text("[]")
    with pytest.raises(UserError, match=r"results .*r\.json were replaced, written to or removed"):
        results_file.read(results, made)
    results.unlink()
    with pytest.raises(UserError, match=r"results .*r\.json were replaced, written to or removed"):
        results_file.read(results, made)


def test_what_came_meanwhile_is_named_with_what_helps_then(tmp_path: Path):
    results = tmp_path / "r.json"
    results.write_text("[]")
    with pytest.raises(UserError, match="it came while this command was at work: move it away and run again"):
        results_file.write(results, ENTRIES, Record(PEOPLE))
    assert results.read_text() == "[]"
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]
    made = results_file.write(results, ENTRIES, Record(PEOPLE), overwrite=True)
    assert results_file.read(results, made) == ENTRIES


def test_a_record_says_over_which_images_results_are():
    """Without those that were bad, and those whose dumps were not there."""
    dataset = Dataset(Path("a.json"), tuple(Image(index, 10 + index, f"{index}.jpg", 9, 9) for index in range(9)))
    made = Record(replace(PEOPLE, images=7, shard="1/2"), Facts(left_out=[2], without_dumps=[6]))
    assert [image.index for image in results_file.images_of(made, dataset)] == [0, 4]


@pytest.fixture
def known(tmp_path: Path) -> tuple[Record, Dataset, Location]:
    """Results over two of three pictures, the data set, and where it lies."""
    dataset = Dataset(tmp_path / "a.json", tuple(Image(index, index, f"{index}.jpg", 9, 9) for index in range(3)))
    location = coco.Location("", "val2017", image_folder=str(tmp_path))
    for index in (0, 2):
        (tmp_path / f"{index}.jpg").write_text(f"picture {index}")
    contents = ((i, reader.picture(tmp_path / f"{i}.jpg").sha256) for i in (0, 2))
    facts = Facts(pictures=pictures.digest(contents), left_out=[1])
    return Record(replace(PEOPLE, images=3), facts, complete=True), dataset, location


def test_other_pictures_of_equal_names_are_refused(known: tuple[Record, Dataset, Location], tmp_path: Path):
    made, dataset, location = known
    assert results_file.check_pictures(tmp_path / "r.json", made, dataset, location) == ""
    (tmp_path / "2.jpg").write_text("picture 3")
    unknown = replace(made, facts=replace(made.facts, pictures=""))
    assert results_file.check_pictures(tmp_path / "r.json", unknown, dataset, location) == ""
    with pytest.raises(
        UserError, match=r"r\.json is of other pictures than those in .* now \(\w{8}, not \w{8}\); give"
    ):
        results_file.check_pictures(tmp_path / "r.json", made, dataset, location)
    (tmp_path / "2.jpg").unlink()
    note = results_file.check_pictures(tmp_path / "r.json", made, dataset, location)
    assert "cannot be told: cannot read image" in note


def test_pictures_that_a_run_s_table_knows_are_not_read_again(
    known: tuple[Record, Dataset, Location], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made, dataset, location = known
    results_file.write_table(tmp_path / "r.json", {i: reader.picture(tmp_path / f"{i}.jpg") for i in (0, 2)})
    monkeypatch.setattr(reader, "read", None)
    assert results_file.check_pictures(tmp_path / "r.json", made, dataset, location) == ""
