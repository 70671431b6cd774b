"""Keypoint data sets in COCO's format, COCO's own and CrowdPose: where they lie, and the images they list."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from higherhrnet.artifacts import info, sources
from higherhrnet.dataset import ground_truth, joints
from higherhrnet.errors import UserError

LIMIT = sources.Limit(bytes=512 * 10**6, containers=4 * 10**6)
"""Of annotation files. COCO's largest of people, train2017, has 239 MB and fewer than two million objects and lists."""


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


@dataclass(frozen=True)
class Location:
    """Where a data set lies: DATASET.ROOT, TEST, DATASET_TEST, and whether DATA_FORMAT is zip."""

    root: str
    split: str
    kind: str = COCO
    """COCO or CROWD_POSE."""
    zipped: bool = False
    """Images lie in one .zip file in place of their folder."""

    @property
    def has_annotations(self) -> bool:
        """False where only images are published: COCO's test splits. CrowdPose's test split has annotations."""
        return self.kind == CROWD_POSE or "test" not in self.split

    @property
    def annotations(self) -> Path:
        """The file of person keypoints: ROOT/annotations/person_keypoints_{split}.json.

        Of COCO's test splits, ROOT/annotations/image_info_{split}.json; of CrowdPose, ROOT/json/crowdpose_{split}.json.
        """
        if self.kind == CROWD_POSE:
            return Path(self.root) / "json" / f"crowdpose_{self.split}.json"
        name = "person_keypoints" if self.has_annotations else "image_info"
        return Path(self.root) / "annotations" / f"{name}_{self.split}.json"

    def picture(self, image: Image) -> Path:
        """The file of an image: ROOT/images/{split}/{file_name}, for reader.read_image.

        All of COCO's test splits share ROOT/images/test2017; CrowdPose has one folder, ROOT/images. Where images are
        zipped, FOLDER.zip@{file_name}, as the official code writes it.
        """
        folder = Path(self.root) / "images"
        if self.kind == COCO:
            folder /= self.split if self.has_annotations else "test2017"
        return folder.with_name(f"{folder.name}.zip@{image.file_name}") if self.zipped else folder / image.file_name


def load(annotations: Path, evaluated_as: str | None = None) -> Dataset:
    """Read the image list of an annotation file.

    ``evaluated_as`` COCO or CROWD_POSE: check its people too, as that evaluation reads them; None: images alone.

    Raises UserError: missing file, not JSON, beyond ``LIMIT``, no images, or an image entry without a unique id, a
    plain file name inside the image folder and sides of 1 to ``info.LONGEST_SIDE``; people that would be misread.
    """
    content = sources.read_json(annotations, "annotation file", LIMIT)
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
            and 0 < image.width <= info.LONGEST_SIDE
            and 0 < image.height <= info.LONGEST_SIDE
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
            f"positive width and height of at most {info.LONGEST_SIDE} and a file name inside the image folder"
        )
    return image


def _is_name(text: str) -> bool:
    """Whether a file can be called so: JSON can hold NUL, and halves of characters that no encoding has."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False
