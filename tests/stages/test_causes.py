"""Which of two runs' outputs changes people: maps of one person and of two, drawn by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from higherhrnet.artifacts import dumps
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.dataset import coco
from higherhrnet.stages import causes, compare
from higherhrnet.stages.dump_sources import Source
from tests.support.datasets import write_dataset

HEADS = dumps.Heads(17, 17)
SIDE = 128
OTHER = {"heat": {"x": 20}, "tags": {"tag": 9.0}, "both": {"x": 20, "tag": 9.0}, "none": {}}


def write(folder: Path, *, x: int = 8, tag: float = 1.0) -> tuple[Source, Source]:
    """Dumps of one image: 17 joints near the left; from the ninth on at column ``x`` and with this tag (else 1)."""
    sources = []
    for name in ("plain", "flip"):
        directory = folder / name
        directory.mkdir(parents=True)
        first = np.zeros((34, SIDE // 4, SIDE // 4), np.float32)
        second = np.zeros((17, SIDE // 2, SIDE // 2), np.float32)
        first[17:] = 1.0
        for joint in range(17):
            column, row = (x if joint > 8 else 8), 4 + joint
            first[joint, row, column] = 0.9
            second[joint, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = 0.9
            if joint > 8:
                first[17 + joint] = tag
        if name == "flip":
            mirrored = list(Options().flip)
            first = np.concatenate([first[:17][mirrored], first[17:][mirrored]])[:, :, ::-1]
            second = second[mirrored][:, :, ::-1]
        for file, array in zip(dumps.BENCHMARK.paths(directory, 0), (first, second), strict=True):
            np.ascontiguousarray(array).tofile(file)
        sources.append(Source(directory, dumps.BENCHMARK, None))
    return sources[0], sources[1]


@pytest.mark.parametrize(
    ("other", "expected"), [("heat", "heatmaps"), ("tags", "tags"), ("both", "either"), ("none", "")]
)
def test_the_cause_is_found(tmp_path: Path, other: str, expected: str):
    """Moved joints are the heatmaps' doing, a person in two the tags'."""
    write_dataset(tmp_path / "coco", ((SIDE, SIDE),))
    dataset = coco.load(coco.Location(str(tmp_path / "coco"), "val2017").annotations)
    found = causes.find(
        dataset,
        write(tmp_path / "a"),
        write(tmp_path / "b", **OTHER[other]),  # type: ignore[arg-type]
        Plan(SIDE),
        HEADS,
        Options(),
        lambda a, b: compare.compare_people(a, b, distance=0.1).changed,
    )
    assert [image.cause for image in found.images] == [expected] * bool(expected)
    if expected:
        assert found.text().startswith(
            f"changed images by cause: {expected} 1; most people: {dataset.images[0].file_name}"
        )
