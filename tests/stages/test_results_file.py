"""Results files: ours are read as they were written, others are refused."""

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
