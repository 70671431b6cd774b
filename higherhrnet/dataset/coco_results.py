"""COCO results files: people as entries, a list of them as JSON."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from higherhrnet.artifacts import atomic, sources
from higherhrnet.dataset import ground_truth
from higherhrnet.errors import UserError


def entries(
    image_id: int, keypoints: np.ndarray, scores: np.ndarray, *, category: int = ground_truth.PERSON
) -> list[dict[str, Any]]:
    """One image's people as entries of a COCO results file.

    keypoints are [P, K, 3], x, y in image pixels and value; scores [P]; ``category`` is people's.
    The box is the extent of all K keypoints, as the official code has it.
    """
    entries = []
    for person, score in zip(keypoints.astype(np.float32).astype(np.float64), scores, strict=True):
        left, top = person[:, :2].min(axis=0)
        right, bottom = person[:, :2].max(axis=0)
        entries.append(
            {
                "image_id": image_id,
                "category_id": category,
                "keypoints": person.ravel().tolist(),
                "score": float(score),
                "bbox": [left, top, right - left, bottom - top],
            }
        )
    return entries


def check(
    entries: Any,
    file: Path,
    image_ids: Container[int],
    *,
    joints: int,
    category: int = ground_truth.PERSON,
    boxes: bool = True,
    remedy: str,
) -> list[dict[str, Any]]:
    """The entries of a results file from outside: people of the images named, of ``joints`` joints, of finite numbers.

    Parameters
    ----------
    category : the id of people in the data set
    boxes : refuse an entry without a bbox, which the results of other programs may lack
    remedy : what helps where an entry is another one, for the message

    Raises
    ------
    UserError : naming the file and the entry
    """
    if not isinstance(entries, list):
        raise UserError(f"results {file} hold no list; {remedy}")
    for place, entry in enumerate(entries):
        sound = (
            isinstance(entry, dict)
            and type(entry.get("image_id")) is int
            and entry["image_id"] in image_ids
            and entry.get("category_id") == category
            and ground_truth.are_numbers(entry.get("keypoints"), 3 * joints)
            and (not boxes or ground_truth.are_numbers(entry.get("bbox"), 4))
            and ground_truth.are_numbers([entry.get("score")], 1)
        )
        if not sound:
            raise UserError(
                f"results {file}: entry {place} is {str(entry)[:120]}, expected a person (category_id {category}) of "
                f"one of the data set's images with {3 * joints} numbers as keypoints{', 4 as bbox' * boxes} and a "
                f"score; {remedy}"
            )
    return entries


def write(path: Path, entries: Iterable[dict[str, Any]]) -> int:
    """Write a COCO results file, entry by entry; return how many.

    The bytes are those of ``json.dumps(list(entries), sort_keys=True, indent=4)`` and a line break.
    """
    with atomic.writing(path) as partial, partial.open("w", encoding="utf-8") as file:
        return dump(entries, file)


def dump(entries: Iterable[dict[str, Any]], file: TextIO) -> int:
    """Do as ``write``, into an open file."""
    count = 0
    file.write("[")
    for count, entry in enumerate(entries, start=1):
        text = json.dumps([entry], sort_keys=True, indent=4)
        file.write("," * (count > 1) + text[1:-2])  # without the brackets and the last line break
    file.write("\n]\n" if count else "]\n")
    return count


_BEGIN = b'[\n    {\n        "'


def is_cut(path: Path) -> bool:
    """Whether a file begins as ``write`` does and no list ends in its end, as after a crash of the machine."""
    with sources.open_file(path) as file:
        begin = file.read(len(_BEGIN))
        file.seek(max(0, path.stat().st_size - 2))
        return _BEGIN.startswith(begin) and not file.read().rstrip().endswith(b"]")
