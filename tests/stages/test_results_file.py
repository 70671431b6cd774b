"""Results files: ours are read as they were written, and others with care."""

from __future__ import annotations

from pathlib import Path

import pytest

from higherhrnet.artifacts.claim import Record
from higherhrnet.errors import UserError
from higherhrnet.stages import results_file
from tests.support.works import PEOPLE

ENTRIES = [{"image_id": 1, "category_id": 1, "keypoints": [0.1, 1e-7, 2.0], "score": 0.5, "bbox": [0.0] * 4}]


def test_results_are_read_as_they_were_written(tmp_path: Path):
    results = tmp_path / "r.json"
    results_file.write(results, ENTRIES, Record(PEOPLE))
    assert results_file.read(results) == ENTRIES


def test_a_key_that_is_given_twice_is_found_in_what_its_record_does_not_tell(tmp_path: Path):
    results = tmp_path / "r.json"
    results_file.write(results, ENTRIES, Record(PEOPLE))
    results.write_text('[{"score": 1, "score": 2}]')
    with pytest.raises(UserError, match=r"results .*r\.json gives 'score' twice in one object"):
        results_file.read(results)
    results.unlink()
    with pytest.raises(UserError, match=r"cannot read results .*r\.json: No such file"):
        results_file.read(results)


def test_what_came_meanwhile_is_named_with_what_helps_then(tmp_path: Path):
    results = tmp_path / "r.json"
    results.write_text("[]")
    with pytest.raises(UserError, match="it came while this command was at work: move it away and run again"):
        results_file.write(results, ENTRIES, Record(PEOPLE))
    assert results.read_text() == "[]"
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]
    results_file.write(results, ENTRIES, Record(PEOPLE), overwrite=True)
    assert results_file.read(results) == ENTRIES
