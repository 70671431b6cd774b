"""From golden outputs to results and figures: what the official code's people became, image by image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.dataset import coco, coco_results, evaluation
from higherhrnet.decode import decode_image
from tests.support import golden


def entries(case: int, expected: dict[str, Any]) -> list[dict[str, Any]]:
    """A case's people as entries of a results file."""
    keypoints, scores = decode_image(
        Plan(512), expected["width"], expected["height"], [golden.outputs(case)], Options()
    )
    return coco_results.entries(expected["image_id"], keypoints, scores)


def test_golden_people_in_image_pixels():
    for case, expected in enumerate(golden.read("decode/expected.json")):
        found = entries(case, expected)
        assert len(found) == len(expected["persons"])
        for entry, person in zip(found, expected["persons"], strict=True):
            reference = np.array(person["keypoints_image"])
            np.testing.assert_allclose(np.reshape(entry["keypoints"], (17, 3)), reference, rtol=0, atol=1e-3)
            assert entry["score"] == pytest.approx(person["score"], abs=1e-5)
            corner = reference[:, :2].min(axis=0)
            size = reference[:, :2].max(axis=0) - corner
            np.testing.assert_allclose(entry["bbox"], [*corner, *size], rtol=0, atol=2e-3)


def test_golden_people_have_the_official_figures(coco_mini: Path, tmp_path: Path):
    """Over the annotations that lie beside the images."""
    dataset = coco.load(coco.Location(str(coco_mini), "val2017").annotations)
    cases = enumerate(golden.read("decode/expected.json"))
    coco_results.write(tmp_path / "results.json", (entry for case, c in cases for entry in entries(case, c)))
    figures = evaluation.evaluate(dataset, tmp_path / "results.json", [i.image_id for i in dataset.images])
    assert figures == pytest.approx(golden.read("decode/expected_stats.json"), abs=1e-6)
