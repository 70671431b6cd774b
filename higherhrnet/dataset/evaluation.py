"""Average precision and recall over keypoints by pycocotools: COCO's ten figures, or CrowdPose's nine."""

from __future__ import annotations

import contextlib
import copy
import importlib
import importlib.metadata
import io
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from higherhrnet.artifacts import sources
from higherhrnet.dataset import ground_truth, joints
from higherhrnet.dataset.coco import Dataset, load
from higherhrnet.dataset.ground_truth import EvaluationProtocol
from higherhrnet.errors import UserError
from higherhrnet.system import packages

STATISTICS = ("AP", "Ap .5", "AP .75", "AP (M)", "AP (L)", "AR", "AR .5", "AR .75", "AR (M)", "AR (L)")
"""The ten figures of COCOeval 'keypoints', under the official code's names."""
_PLAIN = {"AP": 0, "Ap .5": 1, "AP .75": 2, "AR": 5, "AR .5": 6, "AR .75": 7}  # and their places in its ``stats``
CROWDS = {"AP (easy)": (0.0, 0.2), "AP (medium)": (0.2, 0.8), "AP (hard)": (0.8, math.inf)}
"""CrowdPose's figures over images by crowd index, from a number to below another (Li et al. 2019; crowdposetools)."""
CROWD_POSE_STATISTICS = (*_PLAIN, *CROWDS)
"""The nine figures of CrowdPose, in the order of the official lib/dataset/CrowdPoseDataset.py."""
_PACKAGE = "pycocotools"


def require() -> None:
    """Raise UserError unless pycocotools is installed and finds a person: before any work is done."""
    if not packages.is_installed(_PACKAGE):
        raise UserError(
            f"{_PACKAGE}, which evaluates people, is not installed; pip install {_PACKAGE}, or make a results "
            f"file without figures (--no_eval of postprocess and run)"
        )
    count = len(EvaluationProtocol().joints)
    keypoints = [10.0, 10.0, 2.0] * count
    person = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "num_keypoints": count, "keypoints": keypoints}
    person |= {"bbox": [0.0, 0.0, 20.0, 20.0], "area": 1600.0}
    content = {"images": [{"id": 1}], "categories": [{"id": 1}], "annotations": [person]}
    found = {"image_id": 1, "category_id": 1, "keypoints": keypoints, "score": 1.0}
    figures = _figures(content, [found], [1], EvaluationProtocol())
    if abs(figures["AP"] - 1) > 1e-9:
        raise UserError(f"{_version()} gives an AP of {figures['AP']} where it is 1; {_REMEDY}")


def evaluate(
    dataset: Dataset, results_file: Path, image_ids: Sequence[int], protocol: EvaluationProtocol | None = None
) -> dict[str, float]:
    """The figures of a results file over the images named, as ``evaluate_entries`` has them.

    Raises
    ------
    UserError : a file that cannot be read, and as ``evaluate_entries``
    """
    return evaluate_entries(dataset, sources.read_json(results_file, "results"), image_ids, protocol)


def evaluate_entries(
    dataset: Dataset,
    results: Iterable[dict[str, Any]],
    image_ids: Sequence[int],
    protocol: EvaluationProtocol | None = None,
) -> dict[str, float]:
    """The figures of COCOeval 'keypoints' over the images named; -1 where undefined.

    Ten by STATISTICS' names; of CrowdPose nine by CROWD_POSE_STATISTICS', as its own package computes them: areas are
    0.53 of the boxes, easy, medium and hard are rounded to four digits.

    Parameters
    ----------
    protocol : as what the data set's people are evaluated; COCO's by default. They are read where ``dataset`` has none

    Raises
    ------
    UserError : annotations that cannot be evaluated, pycocotools not installed or failing
    """
    require()
    protocol = protocol or EvaluationProtocol()
    truth = dataset.truth or load(dataset.annotations, protocol).truth
    assert truth is not None
    own = [{**entry, "category_id": ground_truth.PERSON} for entry in results]
    return _figures(truth.content, own, image_ids, protocol)


_REMEDY = f"pip install --upgrade {_PACKAGE}, or make a results file without figures (--no_eval of postprocess and run)"


def _version() -> str:
    try:
        return f"{_PACKAGE} {importlib.metadata.version(_PACKAGE)}"
    except importlib.metadata.PackageNotFoundError:
        return _PACKAGE


def _figures(
    content: dict[str, Any], results: list[dict[str, Any]], image_ids: Collection[int], protocol: EvaluationProtocol
) -> dict[str, float]:
    with contextlib.redirect_stdout(io.StringIO()):  # the package reports on stdout
        try:
            figures = _evaluate(content, results, image_ids, protocol)
        except Exception as e:  # people and results were checked: whatever it is, the package raised it
            raise UserError(
                f"{_version()}, which evaluates people, fails ({type(e).__name__}: {' '.join(str(e).split())[:200]}); "
                f"{_REMEDY}"
            ) from e
    if any(math.isnan(v) for v in figures.values()):
        raise UserError(f"{_version()} gives NaN among the figures; {_REMEDY}")
    return figures


def _evaluate(
    content: dict[str, Any], results: list[dict[str, Any]], image_ids: Collection[int], protocol: EvaluationProtocol
) -> dict[str, float]:
    # Imported here: evaluation is all that needs them, and they bring matplotlib where it is installed.
    truth_class = importlib.import_module(f"{_PACKAGE}.coco").COCO
    evaluation_class = importlib.import_module(f"{_PACKAGE}.cocoeval").COCOeval

    truth = truth_class()
    # It writes into what it evaluates; rows are flat but for lists that it only reads.
    truth.dataset = {**content, "annotations": [dict(row) for row in content["annotations"]]}
    truth.createIndex()
    found = truth.loadRes(results) if results else _nothing(truth_class, truth.dataset)
    evaluation = evaluation_class(truth, found, "keypoints")
    evaluation.params.imgIds = sorted(image_ids)
    evaluation.params.catIds = [ground_truth.PERSON]
    # In the package's own arithmetic, so that COCO's figures are its own to the bit.
    evaluation.params.kpt_oks_sigmas = np.array([round(10 * s, 9) for s in protocol.joints.sigmas]) / 10.0
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    if not protocol.crowd_pose:
        return {name: float(evaluation.stats[place]) for place, name in enumerate(STATISTICS)}
    figures = {name: float(evaluation.stats[place]) for name, place in _PLAIN.items()}
    crowds = {image["id"]: image["crowdIndex"] for image in content["images"]}
    for name, (least, below) in CROWDS.items():
        images = copy.copy(evaluation.params)
        images.imgIds = [i for i in sorted(image_ids) if least <= crowds[i] < below]
        part = evaluation_class(truth, found, "keypoints")
        part.params = images
        part.evaluate()
        part.accumulate()
        figures[name] = round(float(part.eval["precision"][:, :, :, 0, :].mean()), 4) if images.imgIds else -1.0
    return figures


def _nothing(truth_class: Any, content: dict[str, Any]) -> Any:
    """An empty results set, which loadRes refuses."""
    found = truth_class()
    found.dataset = {**content, "annotations": []}
    found.createIndex()
    return found


def remarks(dataset: Dataset, protocol: EvaluationProtocol) -> Iterator[str]:
    """What a reader of figures should know of the annotations that they are over."""
    found = protocol.joints
    if found not in (joints.COCO, joints.CROWD_POSE):
        pairs = ", ".join(f"{a}-{b}" for a, b in found.flip_pairs) or "none"
        yield f"{len(found)} joints of {found.name}; in the mirrored image change places: {pairs}"
        if found.assumed:
            yield (
                f"figures with a sigma of {joints.SIGMA} for {len(found.assumed)} joints that DATASET.JOINTS gives "
                f"none: {', '.join(found.assumed)}"
            )
    yield from dataset.truth.notes if dataset.truth else ()


def undefined(figures: dict[str, float]) -> str:
    """Which of the figures are -1 and why, as a sentence; '' where none is."""
    names = [name for name, value in figures.items() if value < 0]
    if not names:
        return ""
    of = "annotated people with joints" if "AP" in names else "annotated people of that size or those images"
    return f"{', '.join(names)} of -1 are undefined: there are no {of}"


def table(figures: dict[str, float], arch: str) -> str:
    """The figures as the official code prints them: one Markdown table of three lines."""
    if len(arch) > 15:
        arch = arch[:8] + "..."
    names, values = figures.keys(), (f"{v:.3f}" for v in figures.values())
    rule = "|---" * (len(figures) + 1) + "|"
    return f"| Arch | {' | '.join(names)} |\n{rule}\n| {arch} | {' | '.join(values)} |"
