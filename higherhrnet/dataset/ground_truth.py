"""Annotated people, checked before anything is evaluated on them.

pycocotools takes what it finds: an id of 0 counts as no match, a person given twice is counted twice, one of an unknown
image or category not at all, and a NaN goes through all sums.
"""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path
from typing import Any

from higherhrnet.errors import UserError

PERSON = 1
"""COCO's category id."""
_LARGEST = 1e9  # pixels, or pixels squared: far beyond any image, far below where float64 overflows


def check(content: dict[str, Any], annotations: Path, *, image_ids: Container[int], joints: int, area: bool) -> None:
    """Refuse annotated people that COCOeval 'keypoints' would misread.

    Parameters
    ----------
    content : of the file ``annotations``, with ``categories`` and ``annotations``
    joints : of a person; keypoints are x, y, visibility of each
    area : whether people have one; CrowdPose's have none

    Raises UserError: naming the file and the entry.
    """
    categories = _category_ids(content.get("categories"), annotations)
    rows = content.get("annotations")
    if not isinstance(rows, list):
        raise UserError(f"annotation file {annotations} has no list of annotations; give COCO's person_keypoints file")
    seen: set[int] = set()
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            raise _wrong(annotations, place, row, "an object")
        if not _is_integer(row.get("id")) or row["id"] == 0 or row["id"] in seen:
            raise _wrong(annotations, place, row, "an integer id of its own, not 0, which COCOeval takes for no match")
        seen.add(row["id"])
        if not _is_integer(row.get("image_id")) or row["image_id"] not in image_ids:
            raise _wrong(annotations, place, row, "the image_id of one of its images")
        if not _is_integer(row.get("category_id")) or row["category_id"] not in categories:
            raise _wrong(annotations, place, row, "the category_id of one of its categories")
        if not are_numbers(row.get("keypoints"), 3 * joints) or not set(row["keypoints"][2::3]) <= {0, 1, 2}:
            raise _wrong(annotations, place, row, f"{3 * joints} numbers as keypoints, x, y, visibility 0 to 2 of each")
        if not are_numbers(row.get("bbox"), 4) or min(row["bbox"][2:]) < 0:
            raise _wrong(annotations, place, row, "x, y, width, height as bbox, the last two not negative")
        if area and (not _is_number(row.get("area")) or row["area"] < 0):
            raise _wrong(annotations, place, row, "an area, not negative")
        if not _is_integer(row.get("num_keypoints")) or not 0 <= row["num_keypoints"] <= joints:
            raise _wrong(annotations, place, row, f"num_keypoints of 0 to {joints}")
        if row.get("iscrowd") not in (0, 1):
            raise _wrong(annotations, place, row, "iscrowd, 0 or 1")


def _category_ids(rows: Any, annotations: Path) -> set[int]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) and _is_integer(row.get("id")) for row in rows):
        raise UserError(f"annotation file {annotations} has no list of categories with ids; give the whole file")
    found = {row["id"] for row in rows}
    if len(found) != len(rows) or PERSON not in found:
        raise UserError(
            f"annotation file {annotations} has categories of ids {sorted(found)[:9]}, expected each once and "
            f"{PERSON}, which people have; get the file again"
        )
    return found


def _is_integer(value: Any) -> bool:
    return type(value) is int and abs(value) < 2**63


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and -_LARGEST < value < _LARGEST  # which NaN is not


def are_numbers(values: Any, count: int) -> bool:
    """Whether a JSON value is a list of so many finite numbers of a size that coordinates and areas can have."""
    return isinstance(values, list) and len(values) == count and all(map(_is_number, values))


def _wrong(annotations: Path, place: int, row: Any, expected: str) -> UserError:
    shown = {name: value for name, value in row.items() if name != "segmentation"} if isinstance(row, dict) else row
    return UserError(
        f"annotation file {annotations}: annotations[{place}] is {json.dumps(shown)[:200]}, expected {expected}; "
        f"correct it or get the file again"
    )
