"""Annotated people, checked and made complete before anything is evaluated on them.

pycocotools takes what it finds: an id of 0 counts as no match, a person given twice is counted twice, one of an unknown
image or category not at all, a person without area never matches, figures average over categories, and a NaN goes
through all sums. What can be derived is derived here, in memory, and said; the rest is refused.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from higherhrnet.dataset import joints
from higherhrnet.dataset.joints import JointSet
from higherhrnet.errors import UserError

PERSON = 1
"""COCO's category id."""
_LARGEST = 1e9  # pixels, or pixels squared: far beyond any image, far below where float64 overflows
_CROWD_POSE_AREA = 0.53  # of the box: crowdposetools, COCOeval.computeOks


@dataclass(frozen=True)
class EvaluationProtocol:
    """As what annotated people are evaluated: which joints, whose figures."""

    joints: JointSet = joints.COCO
    """Of the results, in their order."""
    crowd_pose: bool = False
    """Figures are CrowdPose's nine, areas 0.53 of the boxes, and images have a crowd index."""
    chosen: bool = False
    """The order of joints was chosen by the user (DATASET.JOINTS): annotations in another are reordered by name."""


@dataclass(frozen=True)
class Category:
    """The one category that annotated people are of."""

    id: int
    keypoints: tuple[str, ...]
    """Names of joints; empty where the file has none."""
    skeleton: tuple[tuple[int, int], ...]
    """Joints counted from 0."""


@dataclass(frozen=True)
class Truth:
    """Annotated people as COCOeval reads them."""

    content: dict[str, Any]
    """images, categories and annotations: of people alone, ids from 1, category 1, with all that is read of them."""
    notes: tuple[str, ...]
    """What was derived, reordered or does not count, a phrase each."""


def category(content: Mapping[str, Any], annotations: Path) -> Category:
    """The category of people: the one with keypoints, the one called person, or the only one.

    Raises
    ------
    UserError : no list of categories, several that could be meant, or joints and skeleton that are none
    """
    rows = content.get("categories")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and _is_integer(row.get("id")) for row in rows):
        raise UserError(f"annotation file {annotations} has no list of categories with ids; give the whole file")
    ids = [row["id"] for row in rows]
    if len(set(ids)) != len(ids) or not ids:
        raise UserError(
            f"annotation file {annotations} has categories of ids {sorted(ids)[:9]}, expected at least one, each once; "
            f"correct it"
        )
    with_joints = [row for row in rows if row.get("keypoints")]
    called = [row for row in with_joints or rows if row.get("name") == "person"]
    found = with_joints if len(with_joints) == 1 else called if called else rows
    if len(found) != 1:
        raise UserError(
            f"annotation file {annotations} has {len(found)} categories that people could be of, ids "
            f"{sorted(row['id'] for row in found)[:9]}, expected one, or one called person; figures average over "
            f"categories: give a file of one"
        )
    (row,) = found
    names, skeleton = row.get("keypoints") or [], row.get("skeleton") or []
    if not (
        isinstance(names, list)
        and all(isinstance(n, str) and n and n.isprintable() for n in names)
        and len(set(names)) == len(names) <= joints.MOST
    ):
        raise UserError(
            f"annotation file {annotations}: keypoints of category {row['id']} are {json.dumps(names)[:120]}, expected "
            f"names, each once; correct them"
        )
    if not (isinstance(skeleton, list) and all(isinstance(p, list) and all(map(_is_integer, p)) for p in skeleton)):
        raise UserError(
            f"annotation file {annotations}: skeleton of category {row['id']} is {json.dumps(skeleton)[:120]}, "
            f"expected pairs of joints counted from 1; correct it"
        )
    return Category(row["id"], tuple(names), tuple((p[0] - 1, p[-1] - 1) for p in skeleton if p))


def check_skeleton(found: Category, annotations: Path) -> None:
    """Refuse a skeleton between joints that are not there, where it is needed: CrowdPose's own file has such a one."""
    if wrong := [[a + 1, b + 1] for a, b in found.skeleton if not {a, b} <= set(range(len(found.keypoints)))]:
        raise UserError(
            f"annotation file {annotations}: skeleton of category {found.id} has {wrong[0]}, expected pairs of its "
            f"{len(found.keypoints)} joints, counted from 1; correct it, or give skeleton: in a file of DATASET.JOINTS"
        )


def read(
    content: dict[str, Any], annotations: Path, protocol: EvaluationProtocol, *, images: Collection[Mapping]
) -> Truth:
    """The annotated people of a file, as COCOeval reads them.

    Parameters
    ----------
    content : of the file ``annotations``, with ``categories`` and ``annotations``
    images : its entries of images, which are sound

    Raises
    ------
    UserError : naming the file and the entry, of what would be misread and cannot be derived
    """
    of = category(content, annotations)
    rows = content.get("annotations")
    if not isinstance(rows, list):
        raise UserError(
            f"annotation file {annotations} has no list of annotations; give COCO's person_keypoints file, or "
            f"make results without figures (--no_eval of postprocess and run)"
        )
    order = _order(of, annotations, protocol)
    reader = _Reader(annotations, protocol, order, {image["id"] for image in images})
    categories = {row["id"] for row in content["categories"]}
    found: list[dict[str, Any]] = []
    others = 0
    for place, row in enumerate(rows):
        reader.check_identity(place, row, categories)
        if row["category_id"] == of.id:
            found.append(reader.person(place, row, len(found) + 1))
        else:
            others += 1
    if not any(row["num_keypoints"] and not row["iscrowd"] for row in found):
        raise UserError(
            f"annotation file {annotations} has {len(rows)} annotations, none of a person with joints: all figures "
            f"would be -1; give one that has, or make results without figures (--no_eval of "
            f"postprocess and run)"
        )
    notes = [f"{others} annotations of other categories do not count"] if others else []
    if order is not None:
        notes.append(f"the annotations' joints are in another order than {protocol.joints.name}'s; they were reordered")
    notes += [text.format(count) for text, count in reader.derived.items()]
    kept = ("id", "width", "height") + (("crowdIndex",) * protocol.crowd_pose)
    entries: list[dict[str, Any]] = [{key: image.get(key) for key in kept} for image in images]
    if protocol.crowd_pose:
        for image in entries:
            if not _is_number(image["crowdIndex"]) or image["crowdIndex"] < 0:
                raise UserError(
                    f"annotation file {annotations}: image {image['id']} has a crowdIndex of {image['crowdIndex']}, "
                    f"expected a number of at least 0; give CrowdPose's own file, or make results "
                    f"without figures (--no_eval of postprocess and run)"
                )
    return Truth({"images": entries, "categories": [{"id": PERSON}], "annotations": found}, tuple(notes))


def _order(of: Category, annotations: Path, protocol: EvaluationProtocol) -> list[int] | None:
    """Where in an annotation each joint of the results is; None where all are in place."""
    names, wanted = of.keypoints, protocol.joints.names
    if not names or names == wanted:
        return None
    if len(names) != len(wanted):
        raise UserError(
            f"annotation file {annotations} has {len(names)} joints in its categories, {protocol.joints.name} has "
            f"{len(wanted)}; give the annotations, or the DATASET.JOINTS and the network, of that number"
        )
    if set(names) != set(wanted):
        first = next(name for name in names if name not in wanted)
        raise UserError(
            f"annotation file {annotations} has joints of other names ({first!r}, for example) than "
            f"{protocol.joints.name}; if the network was trained for those, give DATASET.JOINTS annotations"
        )
    if not protocol.chosen:
        at = next(i for i, (a, b) in enumerate(zip(names, wanted, strict=True)) if a != b)
        raise UserError(
            f"annotation file {annotations} has {protocol.joints.name}'s joints in another order (joint {at} is "
            f"{names[at]!r}, not {wanted[at]!r}); if the network's maps are in {protocol.joints.name}'s order, give "
            f"DATASET.JOINTS {protocol.joints.name}, and the annotations are reordered; if in theirs, DATASET.JOINTS "
            f"annotations"
        )
    return [names.index(name) for name in wanted]


class _Reader:
    """Reads a file's annotations one by one, and counts what it derives."""

    def __init__(
        self, annotations: Path, protocol: EvaluationProtocol, order: Sequence[int] | None, image_ids: set[int]
    ) -> None:
        self._annotations, self._protocol, self._order, self._image_ids = annotations, protocol, order, image_ids
        self._seen: set[int] = set()
        self.derived: dict[str, int] = {}

    def _count(self, text: str) -> None:
        self.derived[text] = self.derived.get(text, 0) + 1

    def _wrong(self, place: int, row: Any, expected: str) -> UserError:
        shown = {k: v for k, v in row.items() if k != "segmentation"} if isinstance(row, dict) else row
        return UserError(
            f"annotation file {self._annotations}: annotations[{place}] is {json.dumps(shown)[:200]}, expected "
            f"{expected}; correct it or get the file again"
        )

    def check_identity(self, place: int, row: Any, categories: set[int]) -> None:
        """Refuse what is no annotation of one of the images and categories, or is there twice."""
        if not isinstance(row, dict):
            raise self._wrong(place, row, "an object")
        if not _is_integer(row.get("id")) or row["id"] in self._seen:
            raise self._wrong(place, row, "an integer id of its own")
        self._seen.add(row["id"])
        if not _is_integer(row.get("image_id")) or row["image_id"] not in self._image_ids:
            raise self._wrong(place, row, "the image_id of one of its images")
        if not _is_integer(row.get("category_id")) or row["category_id"] not in categories:
            raise self._wrong(place, row, "the category_id of one of its categories")

    def person(self, place: int, row: dict[str, Any], number: int) -> dict[str, Any]:
        """A person under the id ``number``: COCOeval takes an id of 0 for no match."""
        count = len(self._protocol.joints)
        keypoints: Any = row.get("keypoints")
        if not are_numbers(keypoints, 3 * count) or not set(keypoints[2::3]) <= {0, 1, 2}:
            given = len(keypoints) // 3 if isinstance(keypoints, list) else 0
            more = f" (this has {given}, the config {count})" if given != count else ""
            raise self._wrong(
                place, row, f"{3 * count} numbers as keypoints, x, y, visibility 0 to 2 of {count} joints{more}"
            )
        if not are_numbers(row.get("bbox"), 4) or min(row["bbox"][2:]) < 0:
            raise self._wrong(place, row, "x, y, width, height as bbox, the last two not negative")
        is_crowd = row.get("iscrowd", 0)
        if is_crowd not in (0, 1):
            raise self._wrong(place, row, "iscrowd, 0 or 1")
        if "iscrowd" not in row:
            self._count("{} annotations lack iscrowd; it counts as 0")
        seen = sum(flag > 0 for flag in keypoints[2::3])
        return {
            "id": number,
            "image_id": row["image_id"],
            "category_id": PERSON,
            "iscrowd": int(is_crowd),
            "num_keypoints": self._labelled(place, row, seen),
            "keypoints": keypoints if self._order is None else _reordered(keypoints, self._order),
            "bbox": row["bbox"],
            "area": self._area(place, row, seen),
        }

    def _labelled(self, place: int, row: dict[str, Any], seen: int) -> int:
        """num_keypoints, which decides whether a person counts."""
        if "num_keypoints" not in row:
            self._count("{} annotations lack num_keypoints; joints with a visibility count")
            return seen
        labelled, most = row["num_keypoints"], len(self._protocol.joints)
        if not _is_integer(labelled) or not 0 <= labelled <= most:
            raise self._wrong(place, row, f"num_keypoints of 0 to {most}")
        # CrowdPose's own numbers are others than those of visible joints, and its package takes them as they are.
        if not self._protocol.crowd_pose and (labelled == 0) != (seen == 0):
            raise self._wrong(
                place, row, f"num_keypoints of {seen}, which have a visibility: a person of 0 does not count"
            )
        return labelled

    def _area(self, place: int, row: dict[str, Any], seen: int) -> float:
        """In pixels: OKS is relative to it."""
        of_box = row["bbox"][2] * row["bbox"][3]
        if self._protocol.crowd_pose:
            return of_box * _CROWD_POSE_AREA
        if "area" not in row:
            of_mask = _mask_area(row.get("segmentation"))
            self._count(f"{{}} annotations lack area; it is the {'box' if of_mask is None else 'mask'}'s")
            area = of_box if of_mask is None else of_mask
        else:
            area = row["area"]
            if not _is_number(area) or area < 0:
                raise self._wrong(place, row, "an area, not negative")
        if area == 0 and seen and not row.get("iscrowd", 0):
            raise self._wrong(place, row, "an area above 0: a person with joints and without area can never be found")
        return float(area)


def _reordered(keypoints: Sequence[float], order: Sequence[int]) -> list[float]:
    return [value for joint in order for value in keypoints[3 * joint : 3 * joint + 3]]


def _mask_area(segmentation: Any) -> float | None:
    """Area of a mask: of polygons (the shoelace formula), or of COCO's run lengths; None of another or no mask."""
    if isinstance(segmentation, dict):
        return _run_length_area(segmentation.get("counts"), segmentation.get("size"))
    if not isinstance(segmentation, list) or not segmentation:
        return None
    total = 0.0
    for ring in segmentation:
        if not isinstance(ring, list) or len(ring) < 6 or not are_numbers(ring, len(ring) // 2 * 2):
            return None
        xs, ys = ring[::2], ring[1::2]
        total += abs(sum(x * ys[i - 1] - xs[i - 1] * y for i, (x, y) in enumerate(zip(xs, ys, strict=True)))) / 2
    return total


def _run_length_area(counts: Any, size: Any) -> float | None:
    runs = _run_lengths(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not are_numbers(runs, len(runs)) or not are_numbers(size, 2):
        return None
    if min(runs, default=-1) < 0 or sum(runs) > size[0] * size[1]:
        return None
    return float(sum(runs[1::2]))  # of background and foreground in turn


def _run_lengths(text: str) -> list[int] | None:
    """Run lengths of COCO's compressed masks (pycocotools, maskApi.c, rleFrString); None where the text is none.

    Characters are six bits above 48: five of a number, the lowest first, and whether more follow; the last one's bit 4
    is the sign. From the fourth number on they are differences to the one two before.
    """
    runs: list[int] = []
    value = shift = 0
    for code in text.encode("utf-8", "replace"):
        bits = code - 48
        if not 0 <= bits < 64 or shift > 60:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return None if shift else runs


def _is_integer(value: Any) -> bool:
    return type(value) is int and abs(value) < 2**63


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and -_LARGEST < value < _LARGEST  # which NaN is not


def are_numbers(values: Any, count: int) -> bool:
    """Whether a JSON value is a list of so many finite numbers of a size that coordinates and areas can have."""
    return isinstance(values, list) and len(values) == count and all(map(_is_number, values))
