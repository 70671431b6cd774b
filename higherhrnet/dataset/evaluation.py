"""Average precision and recall over keypoints: COCO's ten figures, or CrowdPose's nine."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from higherhrnet.artifacts import sources
from higherhrnet.dataset.coco import COCO, CROWD_POSE, Dataset
from higherhrnet.errors import UserError

STATISTICS = ("AP", "Ap .5", "AP .75", "AP (M)", "AP (L)", "AR", "AR .5", "AR .75", "AR (M)", "AR (L)")
"""The ten figures of COCOeval 'keypoints', under the official code's names."""
CROWD_POSE_STATISTICS = {
    "AP": 0,
    "Ap .5": 1,
    "AP .75": 2,
    "AR": 5,
    "AR .5": 6,
    "AR .75": 7,
    "AP (easy)": 8,
    "AP (medium)": 9,
    "AP (hard)": 10,
}
"""The nine figures of CrowdPose, and their places in its package's ``stats`` (lib/dataset/CrowdPoseDataset.py)."""
_PACKAGES = {COCO: "pycocotools", CROWD_POSE: "crowdposetools"}


def require(kind: str = COCO) -> None:
    """Raise UserError unless the package that evaluates this kind of data set is installed: before any work is done."""
    if importlib.util.find_spec(_PACKAGES[kind]) is None:
        raise UserError(
            f"{_PACKAGES[kind]}, which evaluates people, is not installed; pip install {_PACKAGES[kind]}, or give "
            f"--no_eval for a results file without figures"
        )


def evaluate(dataset: Dataset, results_file: Path, image_ids: Sequence[int], kind: str = COCO) -> dict[str, float]:
    """The figures of COCOeval 'keypoints' over the images named; -1 where undefined.

    Ten by STATISTICS' names; of CrowdPose nine by CROWD_POSE_STATISTICS', as its own package computes them.

    Raises UserError: annotations that cannot be evaluated, or a package that is not installed.
    """
    require(kind)
    # Imported here: evaluation is all that needs them, and they bring matplotlib where it is installed.
    truth_class = importlib.import_module(f"{_PACKAGES[kind]}.coco").COCO
    evaluation_class = importlib.import_module(f"{_PACKAGES[kind]}.cocoeval").COCOeval
    statistics = CROWD_POSE_STATISTICS if kind == CROWD_POSE else dict(zip(STATISTICS, range(10), strict=True))

    with contextlib.redirect_stdout(io.StringIO()):  # the packages report on stdout
        try:
            truth = truth_class(str(dataset.annotations))
            found = truth.loadRes(str(results_file)) if sources.read_json(results_file, "results") else _nothing(truth)
            evaluation = evaluation_class(truth, found, "keypoints")
            evaluation.params.imgIds = sorted(image_ids)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            figures = {name: float(evaluation.stats[place]) for name, place in statistics.items()}
        except (KeyError, TypeError, IndexError, ValueError) as e:
            raise UserError(
                f"annotation file {dataset.annotations} cannot be evaluated ({type(e).__name__}: {e}); expected COCO "
                f"person keypoints with {len(statistics)} figures' worth of bbox, area, iscrowd and keypoints"
            ) from e
    if any(math.isnan(v) for v in figures.values()):
        raise UserError(f"annotation file {dataset.annotations}: evaluation gives NaN; check boxes and areas")
    return figures


def _nothing(truth: Any) -> Any:
    """An empty results set, which loadRes refuses."""
    found = type(truth)()
    found.dataset = {
        "images": truth.dataset["images"],
        "categories": truth.dataset["categories"],
        "annotations": [],
    }
    found.createIndex()
    return found


def table(figures: dict[str, float], arch: str) -> str:
    """The figures as the official code prints them: one Markdown table of three lines."""
    if len(arch) > 15:
        arch = arch[:8] + "..."
    names, values = figures.keys(), (f"{v:.3f}" for v in figures.values())
    rule = "|---" * (len(figures) + 1) + "|"
    return f"| Arch | {' | '.join(names)} |\n{rule}\n| {arch} | {' | '.join(values)} |"
