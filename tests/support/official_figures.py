"""COCOeval itself, with parameters of its own."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


@dataclass(frozen=True)
class Official:
    """What it accumulates, of each area range A."""

    precision: np.ndarray
    """float64 [T, R, A]"""
    recall: np.ndarray
    """float64 [T, A]"""


def evaluate(
    content: dict[str, Any],
    entries: Sequence[dict[str, Any]],
    *,
    image_ids: Sequence[int] | None = None,
    areas: Sequence[tuple[float, float]] = ((0, 1e10),),
    sigmas: Sequence[float] | None = None,
) -> Official:
    """Evaluate keypoints. Neither argument is changed."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = json.loads(json.dumps(content))
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(json.loads(json.dumps(entries))), "keypoints")
        if image_ids is not None:
            evaluation.params.imgIds = sorted(image_ids)
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        evaluation.params.areaRng = [list(area) for area in areas]
        evaluation.params.areaRngLbl = [str(area) for area in areas]
        evaluation.evaluate()
        evaluation.accumulate()
    return Official(evaluation.eval["precision"][:, :, 0, :, 0], evaluation.eval["recall"][:, 0, :, 0])
