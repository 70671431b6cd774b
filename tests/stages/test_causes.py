"""Whom two runs find otherwise, and which outputs are the cause: maps of one person and of two, drawn by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from higherhrnet.artifacts import dumps
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.dataset import coco, joints
from higherhrnet.stages import causes
from higherhrnet.stages.causes import Change, Changes, Place, Runs
from higherhrnet.stages.dump_sources import Source
from higherhrnet.stages.matches import Pair

HEADS = dumps.Heads(17, 17)
SIDE = 128
PEAK = (1 + 9 / 16) / 2
"""What fused heat keeps of a peak one cell wide: all of it in the half map, 3/4 of 3/4 in the quarter map enlarged."""
PLAIN = Options(refine=False, adjust=False, sigmas=joints.COCO.sigmas)
"""Keypoints where they are drawn, and none but those."""


def write(folder: Path, people: list[tuple[int, range, float, float]]) -> tuple[Source, Source]:
    """Dumps of one image, of people at these columns with these joints, tags and peaks, a joint a row."""
    sources = []
    for name in ("plain", "flip"):
        directory = folder / name
        directory.mkdir(parents=True)
        first = np.zeros((34, SIDE // 4, SIDE // 4), np.float32)
        second = np.zeros((17, SIDE // 2, SIDE // 2), np.float32)
        for column, drawn, tag, peak in people:
            for joint in drawn:
                row = 4 + joint
                first[joint, row, column] = peak
                second[joint, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = peak
                first[17 + joint, row - 1 : row + 2, column - 2 : column + 3] = tag
        if name == "flip":
            mirrored = list(PLAIN.flip)
            first = np.concatenate([first[:17][mirrored], first[17:][mirrored]])[:, :, ::-1]
            second = second[mirrored][:, :, ::-1]
        for file, array in zip(dumps.BENCHMARK.paths(directory, 0), (first, second), strict=True):
            np.ascontiguousarray(array).tofile(file)
        sources.append(Source(directory, dumps.BENCHMARK, None))
    return sources[0], sources[1]


ALL, UPPER, LOWER = range(17), range(9), range(9, 17)
LEFT = (6, ALL, 1.0, 0.9)
RIGHT = (24, ALL, 9.0, 0.8)


def explain(tmp_path: Path, other: list, reference: tuple = (LEFT, RIGHT)) -> causes.Explained:
    """What becomes of ``reference`` in ``other``; by default two people, the left one of the higher score."""
    runs = Runs(
        write(tmp_path / "a", list(reference)),
        write(tmp_path / "b", other),
        Plan(SIDE),
        HEADS,
        PLAIN,
        joints.COCO.names,
        distance=0.1,
    )
    found = causes.explain(runs, coco.Image(0, 1, "one.jpg", SIDE, SIDE))
    assert found.matches.changed == len(found.changes) == sum(found.counts.values())
    return found


def test_equal_dumps_name_nobody(tmp_path: Path):
    found = explain(tmp_path, [LEFT, RIGHT])
    assert (found.people, found.changes) == ((2, 2), ())


def test_a_shifted_peak_is_the_heatmaps_doing(tmp_path: Path):
    """The right person's nose moves a cell of the quarter map, four pixels, with its tag: nobody else is named."""
    found = explain(tmp_path, [LEFT, (24, range(1, 17), 9.0, 0.8), (25, range(1), 9.0, 0.8)])
    (change,) = found.changes
    assert (change.kind, change.cause, change.joint) == ("moved", "heatmaps", "nose")
    assert change.pair is not None
    assert (change.pair.moved, change.pair.unshared) == (1, 0)
    assert change.pair.shift == pytest.approx(4, abs=0.5)
    assert change.reference is not None
    assert change.other is not None
    assert (change.reference.rank, change.other.rank) == (2, 2)
    assert change.reference.score == pytest.approx(0.8 * PEAK)
    x, y, width, height = change.box
    assert (x, width) == (pytest.approx(24 * 4 + 2, abs=1), 0)
    assert (y, height) == (pytest.approx(4 * 4 + 2, abs=1), pytest.approx(16 * 4, abs=1))


def test_swapped_tags_exchange_halves(tmp_path: Path):
    """The lower halves of two people exchange their tags: heatmaps are equal, both people are others."""
    found = explain(
        tmp_path, [(6, UPPER, 1.0, 0.9), (6, LOWER, 9.0, 0.9), (24, UPPER, 9.0, 0.8), (24, LOWER, 1.0, 0.8)]
    )
    assert {change.cause for change in found.changes} == {"tags"}
    assert found.matches.changed == len(found.changes) >= 2


def test_one_person_in_two_is_the_tags_doing(tmp_path: Path):
    """The left one's lower half gets a tag of its own: of 17 keypoints 9 stay, 8 are somebody new."""
    found = explain(tmp_path, [(6, UPPER, 1.0, 0.9), (6, LOWER, 30.0, 0.9), RIGHT])
    by_kind = {change.kind: change for change in found.changes}
    assert by_kind.keys() == {"moved", "new"}
    assert {change.cause for change in found.changes} == {"tags"}
    assert by_kind["moved"].pair is not None
    assert by_kind["moved"].pair.unshared == 8
    assert by_kind["new"].reference is None


def test_a_missing_person_is_gone_and_a_new_one_is_new(tmp_path: Path):
    """Without its peaks a person is gone; seen the other way round it is new. Tags alone change nobody."""
    found = explain(tmp_path / "gone", [LEFT])
    assert [(c.kind, c.cause, c.other) for c in found.changes] == [("gone", "heatmaps", None)]
    assert found.people == (2, 1)
    found = explain(tmp_path / "new", [LEFT, RIGHT], (LEFT,))
    (change,) = found.changes
    assert (change.kind, change.reference) == ("new", None)
    assert change.other is not None
    assert (change.other.rank, change.other.score) == (2, pytest.approx(0.8 * PEAK))
    assert change.cause == "heatmaps"


def test_either_alone_and_both_together(tmp_path: Path):
    """Either: a shifted nose, and ears of another tag. Both together: a nose of another tag that a peak comes for."""
    either = [LEFT, (24, range(1, 16), 9.0, 0.8), (25, range(1), 9.0, 0.8), (24, range(16, 17), 30.0, 0.8)]
    found = explain(tmp_path / "either", either)
    of_right = next(change for change in found.changes if change.kind == "moved")
    assert of_right.cause == "either"
    # Without its peak the nose is not found whatever its tag; with the tag of zeros that A has there it is nobody's.
    found = explain(tmp_path / "both", [LEFT, RIGHT], (LEFT, (24, range(1, 17), 9.0, 0.8)))
    (change,) = found.changes
    assert (change.kind, change.cause) == ("moved", "only both together")


def change(score: float, name: str = "a.jpg", kind: str = "gone") -> Change:
    return Change(name, kind, Place(1, score), None, (10.4, 20.0, 30.0, 40.6), None, "", "tags")


def test_the_list_is_by_score_and_says_how_many_are_missing():
    both = [change(0.2), change(0.9, "b.jpg"), change(0.9)]
    assert [(c.file_name, c.reference.score) for c in sorted(both, key=lambda c: c.order) if c.reference] == [
        ("a.jpg", 0.9),
        ("b.jpg", 0.9),
        ("a.jpg", 0.2),
    ]
    counts = {("tags", "gone"): 2, ("heatmaps", "moved"): 1}
    found = Changes(counts, (change(0.9),))
    assert found.total == 3
    assert found.summary() == "changed people by cause: heatmaps 1 (1 moved); tags 2 (2 gone)"
    assert found.text()[1:] == [
        "a.jpg  gone  A #1 0.900  B -  30x41+10+20  tags",
        "and 2 more people changed; --changed 3 names all",
    ]
    assert Changes(counts, ()).text() == []
    assert Changes({("tags", "gone"): 1}, (change(0.9),)).text()[1:] == [change(0.9).text()]


def test_a_line_says_what_moved():
    moved = Change(
        "a.jpg", "moved", Place(1, 0.9), Place(2, 0.8), (0, 0, 1, 1), Pair(0, 1, 3, 2, 7.25, 9), "left_wrist", "either"
    )
    assert (
        moved.text()
        == "a.jpg  moved  A #1 0.900  B #2 0.800  1x1+0+0  3 keypoints, left_wrist by 7.2, 2 in one alone  either"
    )
