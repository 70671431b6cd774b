"""Results files: entries by hand, streamed as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from higherhrnet.dataset import coco_results
from tests.support.programs import Outcome


def test_results_by_hand():
    person = np.zeros((1, 17, 3))
    person[0, 0] = 10, 20, 0.5
    person[0, 1] = 30, 25, 1.0
    (entry,) = coco_results.entries(7, person, np.array([0.75]))
    assert entry["image_id"] == 7
    assert entry["category_id"] == 1
    assert entry["keypoints"][:6] == [10, 20, 0.5, 30, 25, 1.0]
    assert entry["score"] == 0.75
    assert entry["bbox"] == [0, 0, 30, 25], "missing joints at 0, 0 count, as in the official code"


Script = Callable[..., Outcome]


def test_results_are_streamed_as_json_dumps_writes_them(tmp_path: Path):
    entries = [{"score": 0.1 + k, "keypoints": [1.5, float(k)], "bbox": []} for k in range(3)]
    for count in range(4):
        assert coco_results.write(tmp_path / "r.json", iter(entries[:count])) == count
        expected = json.dumps(entries[:count], sort_keys=True, indent=4) + "\n"
        assert (tmp_path / "r.json").read_text() == expected


def test_a_file_without_its_end_is_cut_and_that_of_another_program_is_not(tmp_path: Path):
    file = tmp_path / "r.json"
    entries = [{"score": 0.1, "keypoints": [1.5], "bbox": []}]
    coco_results.write(file, entries)
    whole = file.read_bytes()
    for length in range(len(whole) - 2):
        file.write_bytes(whole[:length])
        assert coco_results.is_cut(file) != whole[:length].rstrip().endswith(b"]")
    for theirs in (whole, whole.rstrip(), b"[]", json.dumps(entries).encode(), b"my notes"):  # the second, the official
        file.write_bytes(theirs)
        assert not coco_results.is_cut(file), theirs
