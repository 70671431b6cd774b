"""Keypoint data sets in COCO's format, COCO's own and CrowdPose: where they lie, and the images they list."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from higherhrnet.artifacts import info, sources
from higherhrnet.dataset import ground_truth
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
    truth: ground_truth.Truth | None = field(default=None, repr=False, compare=False)
    """Its annotated people, where these were asked for."""
    person: int = ground_truth.PERSON
    """The category id of people, in results too."""

    @cached_property
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
    annotation_file: str = ""
    """DATASET.ANNOTATIONS: the file itself, in place of the one below ``root``."""
    image_folder: str = ""
    """DATASET.IMAGES: the folder itself, or the .zip file, in place of the one below ``root``."""

    @property
    def has_annotations(self) -> bool:
        """False where only images are published: COCO's test splits, unless their annotations are there."""
        return bool(self.annotation_file) or self.kind == CROWD_POSE or self._people.is_file() or not self._is_test

    @property
    def _is_test(self) -> bool:
        return "test" in self.split  # as the official code tells them

    @property
    def _people(self) -> Path:
        return Path(self.root) / "annotations" / f"person_keypoints_{self.split}.json"

    @property
    def annotations(self) -> Path:
        """The file of person keypoints: ROOT/annotations/person_keypoints_{split}.json.

        Of a test split without that, ROOT/annotations/image_info_{split}.json; of CrowdPose,
        ROOT/json/crowdpose_{split}.json.
        """
        if self.annotation_file:
            return Path(self.annotation_file)
        if self.kind == CROWD_POSE:
            return Path(self.root) / "json" / f"crowdpose_{self.split}.json"
        return self._people if self.has_annotations else self._people.with_name(f"image_info_{self.split}.json")

    @cached_property
    def images(self) -> Path:
        """The folder of the images, or what would be beside its .zip file: ROOT/images/{split}.

        COCO's test splits share ROOT/images/test2017, unless there is a folder of their own; CrowdPose has ROOT/images.
        """
        folder = Path(self.root) / "images"
        if self.image_folder:
            given = Path(self.image_folder)
            return given.with_suffix("") if self.zipped and given.suffix == ".zip" else given
        if self.kind == CROWD_POSE:
            return folder
        own = folder / self.split
        there = own.with_name(f"{own.name}.zip").is_file() if self.zipped else own.is_dir()
        return folder / "test2017" if self._is_test and not there else own

    def picture(self, image: Image) -> Path:
        """The file of an image, for reader.read_image: FOLDER/{file_name}.

        Where images are zipped, FOLDER.zip@{file_name}, as the official code writes it.
        """
        folder = self.images
        return folder.with_name(f"{folder.name}.zip@{image.file_name}") if self.zipped else folder / image.file_name

    def absolute(self) -> Location:
        """The same for processes with another current folder."""

        def of(path: str) -> str:
            return str(Path(path).absolute()) if path else ""

        return replace(
            self,
            root=str(Path(self.root).absolute()),
            annotation_file=of(self.annotation_file),
            image_folder=of(self.image_folder),
        )


@dataclass(frozen=True)
class AnnotationFile:
    """An annotation file's content, parsed once for all that is read of it."""

    path: Path
    content: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> AnnotationFile:
        """Parse a file. Raises UserError for one that is missing, not JSON, beyond ``LIMIT`` or lists no images."""
        content = sources.read_json(path, "annotation file", LIMIT)
        rows = content.get("images") if isinstance(content, dict) else None
        if not isinstance(rows, list) or not rows:
            raise UserError(f"annotation file {path} lists no images; give COCO's person_keypoints_*.json")
        return cls(path, content)

    @property
    def category(self) -> ground_truth.Category:
        """The category of people, with names and skeleton of its joints. Raises UserError where there is none."""
        return ground_truth.category(self.content, self.path)

    @property
    def joints(self) -> int | None:
        """How many joints its people have; None where it does not say."""
        with contextlib.suppress(UserError):
            if names := self.category.keypoints:
                return len(names)
        rows = self.content.get("annotations")
        for row in rows if isinstance(rows, list) else ():
            keypoints = row.get("keypoints") if isinstance(row, dict) else None
            return len(keypoints) // 3 if isinstance(keypoints, list) else None
        return None

    def dataset(self, protocol: ground_truth.EvaluationProtocol | None = None) -> Dataset:
        """The images and, where ``protocol`` says as what, the annotated people.

        Raises
        ------
        UserError : an image entry without a unique id, a plain file name inside the image folder and sides of 1 to
            ``info.LONGEST_SIDE``; people that would be misread
        """
        rows, path = self.content["images"], self.path
        images = tuple(_image(index, row, path) for index, row in enumerate(rows))
        ids = {image.image_id for image in images}
        if len(ids) != len(images):
            raise UserError(f"annotation file {path}: {len(images)} images share {len(ids)} ids; ids must be unique")
        truth = None if protocol is None else ground_truth.read(self.content, path, protocol, images=rows)
        # Of image lists without people it only names the category in results, COCO's where nothing says it.
        with contextlib.suppress(UserError):
            return Dataset(path, images, truth, self.category.id)
        return Dataset(path, images, truth)


def load(annotations: Path, protocol: ground_truth.EvaluationProtocol | None = None) -> Dataset:
    """Read an annotation file; parameters and errors are ``AnnotationFile.dataset``'s."""
    return AnnotationFile.read(annotations).dataset(protocol)


def _image(index: int, row: Any, annotations: Path) -> Image:
    try:
        image = Image(index, row["id"], row["file_name"], row["width"], row["height"])
        integers = (image.image_id, image.width, image.height)
        parts = [part for part in os.fspath(image.file_name).split("/") if part not in {"", "."}]
        sound = (
            all(type(v) is int for v in integers)
            and abs(image.image_id) < 2**63
            and 0 < image.width <= info.LONGEST_SIDE
            and 0 < image.height <= info.LONGEST_SIDE
            and _is_name(image.file_name)
            and len(parts) > 0
            and ".." not in parts
            and not image.file_name.startswith("/")
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
