"""Keypoint data sets in COCO's format: the annotation file, the images, the results file and its average precision.

COCO's own and CrowdPose, whose folders, file names and figures differ.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import io
import json
import math
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from higherhrnet import geometry, ground_truth, joints
from higherhrnet.errors import UserError
from higherhrnet.files import atomic

LIMIT = atomic.Limit(bytes=512 * 10**6, containers=4 * 10**6)
"""Of annotation files. COCO's largest of people, train2017, has 239 MB and fewer than two million objects and lists."""
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


@dataclass(frozen=True)
class Image:
    """One image of a data set. ``index`` is its place in the annotation file, from 0."""

    index: int
    image_id: int
    file_name: str
    width: int
    height: int


@dataclass(frozen=True)
class Dataset:
    """An annotation file's images, in its order."""

    annotations: Path
    images: tuple[Image, ...]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over ids, names and sizes of the images: what preprocessing and decoding depend on."""
        rows = [[i.image_id, i.file_name, i.width, i.height] for i in self.images]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


COCO = "coco"
CROWD_POSE = "crowd_pose"
_PACKAGES = {COCO: "pycocotools", CROWD_POSE: "crowdposetools"}


@dataclass(frozen=True)
class Layout:
    """How a data set lies on disk: DATASET.DATASET_TEST, and DATASET.DATA_FORMAT zip."""

    kind: str = COCO
    """COCO or CROWD_POSE."""
    zipped: bool = False
    """Images lie in one .zip file in place of their folder."""


def has_annotations(split: str, layout: Layout) -> bool:
    """False where only images are published: COCO's test splits. CrowdPose's test split has annotations."""
    return layout.kind == CROWD_POSE or "test" not in split


def annotation_file(root: str, split: str, layout: Layout | None = None) -> Path:
    """Where a data set keeps its person keypoints: ROOT/annotations/person_keypoints_{split}.json.

    Of COCO's test splits, ROOT/annotations/image_info_{split}.json; of CrowdPose, ROOT/json/crowdpose_{split}.json.
    """
    layout = layout or Layout()
    if layout.kind == CROWD_POSE:
        return Path(root) / "json" / f"crowdpose_{split}.json"
    name = "person_keypoints" if has_annotations(split, layout) else "image_info"
    return Path(root) / "annotations" / f"{name}_{split}.json"


def image_file(root: str, split: str, image: Image, layout: Layout | None = None) -> Path:
    """Where a data set keeps an image: ROOT/images/{split}/{file_name}, for preprocess.read_image.

    All of COCO's test splits share ROOT/images/test2017; CrowdPose has one folder, ROOT/images. Where images are
    zipped, FOLDER.zip@{file_name}, as the official code writes it.
    """
    layout = layout or Layout()
    folder = Path(root) / "images"
    if layout.kind == COCO:
        folder /= split if has_annotations(split, layout) else "test2017"
    return folder.with_name(f"{folder.name}.zip@{image.file_name}") if layout.zipped else folder / image.file_name


def load(annotations: Path, evaluated_as: str | None = None) -> Dataset:
    """Read the image list of an annotation file.

    ``evaluated_as`` COCO or CROWD_POSE: check its people too, as that evaluation reads them; None: images alone.

    Raises
    ------
    UserError : missing file, not JSON, beyond ``LIMIT``, no images, or an image entry without a unique id, a plain
        file name inside the image folder and sides of 1 to ``geometry.LONGEST_SIDE``; people that would be misread
    """
    content = atomic.read_json(annotations, "annotation file", LIMIT)
    rows = content.get("images") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows:
        raise UserError(f"annotation file {annotations} lists no images; give COCO's person_keypoints_*.json")
    images = tuple(_image(index, row, annotations) for index, row in enumerate(rows))
    ids = {image.image_id for image in images}
    if len(ids) != len(images):
        raise UserError(f"annotation file {annotations}: {len(images)} images share {len(ids)} ids; ids must be unique")
    if evaluated_as is not None:
        people = joints.CROWD_POSE if evaluated_as == CROWD_POSE else joints.COCO
        ground_truth.check(content, annotations, image_ids=ids, joints=len(people), area=evaluated_as == COCO)
    return Dataset(annotations, images)


def _image(index: int, row: Any, annotations: Path) -> Image:
    try:
        image = Image(index, row["id"], row["file_name"], row["width"], row["height"])
        integers = (image.image_id, image.width, image.height)
        parts = PurePosixPath(image.file_name).parts
        sound = (
            all(type(v) is int for v in integers)
            and abs(image.image_id) < 2**63
            and 0 < image.width <= geometry.LONGEST_SIDE
            and 0 < image.height <= geometry.LONGEST_SIDE
            and _is_name(image.file_name)
            and len(parts) > 0
            and ".." not in parts
            and not PurePosixPath(image.file_name).is_absolute()
        )
    except (KeyError, TypeError) as e:
        raise UserError(f"annotation file {annotations}: images[{index}] lacks {e} or is malformed") from e
    if not sound:
        raise UserError(
            f"annotation file {annotations}: images[{index}] is {json.dumps(row)[:200]}, expected an integer id, "
            f"positive width and height of at most {geometry.LONGEST_SIDE} and a file name inside the image folder"
        )
    return image


def _is_name(text: str) -> bool:
    """Whether a file can be called so: JSON can hold NUL, and halves of characters that no encoding has."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def results(image_id: int, keypoints: np.ndarray, scores: np.ndarray) -> list[dict[str, Any]]:
    """One image's people as entries of a COCO results file.

    keypoints are [P, K, 3], x, y in image pixels and value; scores [P]. The box is the extent of all K keypoints, as
    the official code has it.
    """
    entries = []
    for person, score in zip(keypoints.astype(np.float32).astype(np.float64), scores, strict=True):
        left, top = person[:, :2].min(axis=0)
        right, bottom = person[:, :2].max(axis=0)
        entries.append(
            {
                "image_id": image_id,
                "category_id": ground_truth.PERSON,
                "keypoints": person.ravel().tolist(),
                "score": float(score),
                "bbox": [left, top, right - left, bottom - top],
            }
        )
    return entries


def check_results(entries: Any, file: Path, image_ids: Container[int]) -> list[dict[str, Any]]:
    """The entries of a results file from outside: COCO people of the images named, of finite numbers.

    Raises
    ------
    UserError : naming the file and the entry
    """
    if not isinstance(entries, list):
        raise UserError(f"results {file} hold no list; run the shard again")
    for place, entry in enumerate(entries):
        sound = (
            isinstance(entry, dict)
            and type(entry.get("image_id")) is int
            and entry["image_id"] in image_ids
            and entry.get("category_id") == ground_truth.PERSON
            and ground_truth.are_numbers(entry.get("keypoints"), 3 * len(joints.COCO))
            and ground_truth.are_numbers(entry.get("bbox"), 4)
            and ground_truth.are_numbers([entry.get("score")], 1)
        )
        if not sound:
            raise UserError(
                f"results {file}: entry {place} is {str(entry)[:120]}, expected a person of one of the data set's "
                f"images with finite keypoints, bbox and score; run the shard again"
            )
    return entries


def write_results(path: Path, entries: Iterable[dict[str, Any]]) -> int:
    """Write a COCO results file, entry by entry; return how many.

    The bytes are those of ``json.dumps(list(entries), sort_keys=True, indent=4)`` and a line break.
    """
    count = 0
    with atomic.writing(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write("[")
        for count, entry in enumerate(entries, start=1):
            text = json.dumps([entry], sort_keys=True, indent=4)
            file.write("," * (count > 1) + text[1:-2])  # without the brackets and the last line break
        file.write("\n]\n" if count else "]\n")
    return count


def can_evaluate(kind: str = COCO) -> bool:
    """Whether the package that evaluates this kind of data set is installed: pycocotools, or crowdposetools."""
    return importlib.util.find_spec(_PACKAGES[kind]) is not None


def evaluate(dataset: Dataset, results_file: Path, image_ids: Sequence[int], kind: str = COCO) -> dict[str, float]:
    """The figures of COCOeval 'keypoints' over the images named; -1 where undefined.

    Ten by STATISTICS' names; of CrowdPose nine by CROWD_POSE_STATISTICS', as its own package computes them.

    Raises
    ------
    UserError : annotations that cannot be evaluated, or a package that is not installed
    """
    if not can_evaluate(kind):
        raise UserError(
            f"{_PACKAGES[kind]} is not installed, so {results_file} is not evaluated; install it and run again"
        )
    # Imported here: evaluation is all that needs them, and they bring matplotlib where it is installed.
    truth_class = importlib.import_module(f"{_PACKAGES[kind]}.coco").COCO
    evaluation_class = importlib.import_module(f"{_PACKAGES[kind]}.cocoeval").COCOeval
    statistics = CROWD_POSE_STATISTICS if kind == CROWD_POSE else dict(zip(STATISTICS, range(10), strict=True))

    with contextlib.redirect_stdout(io.StringIO()):  # the packages report on stdout
        try:
            truth = truth_class(str(dataset.annotations))
            found = truth.loadRes(str(results_file)) if atomic.read_json(results_file, "results") else _nothing(truth)
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
