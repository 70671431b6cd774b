"""The pictures of a report: a crop as a JPEG, and the people on it as paths, annotated and found side by side."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from higherhrnet.image import encoder

_SIDE = 480
"""Pixels of the longer side of an embedded crop, at most."""
_QUALITY = 80
_MARGIN = 0.15  # of the crop's sides, around the people that it is for
_LEAST = 160  # pixels of a crop's sides, where the picture has them
_SIDES = ("left", "right", "middle")
_OF_NOBODY = ("background", "duplicate")

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels."""


@dataclass
class Stroke:
    """One path of a person's drawing."""

    style: str
    """CSS classes."""
    path: str
    title: str = ""


@dataclass
class Panel:
    """People on the crop."""

    name: str
    note: str
    strokes: list[Stroke] = field(default_factory=list)


@dataclass(frozen=True)
class Shown:
    """A picture of the gallery, ready for the page."""

    number: int
    file: str
    image_id: int
    view: Box
    jpeg: str
    """Base64, '' where the picture could not be read."""
    sorts: Sequence[str]
    joints: Sequence[int]
    panels: Sequence[Panel]
    errors: Sequence[str]
    """In words."""


def crop(picture: Mapping[str, Any]) -> Box:
    """The part of a picture that shows its errors: all people with one, and those that they were taken for."""
    points: list[Any] = []
    for results in picture["found"]:
        for person in results["people"]:
            if person["errors"] or person["sort"] in _OF_NOBODY:
                points += person["joints"]
            if person["errors"] and person["of"] is not None:
                points += _annotated(picture["annotated"][person["of"]])
    for person in picture["annotated"]:
        if person["missed"]:
            points += _annotated(person)
    if not points:
        points = [point for person in picture["annotated"] for point in _annotated(person)]
    size = np.array([picture["width"], picture["height"]], float)
    if not points:
        return 0, 0, picture["width"], picture["height"]
    inside = np.clip(np.array(points, float), 0, size)
    low, high = inside.min(axis=0), inside.max(axis=0)
    side = np.minimum(np.maximum((high - low) * (1 + 2 * _MARGIN), _LEAST), size)
    start = np.clip((low + high - side) / 2, 0, size - side)
    x, y = np.floor(start).astype(int).tolist()
    width, height = np.ceil(side).astype(int).tolist()
    return x, y, min(width, picture["width"] - x), min(height, picture["height"] - y)


def _annotated(person: Mapping[str, Any]) -> list[list[float]]:
    return [[x, y] for x, y, visibility in person["joints"] if visibility > 0]


def jpeg(image: np.ndarray, box: Box) -> bytes:
    """The crop of an image (RGB uint8 [H, W, 3]) as a JPEG of at most _SIDE pixels a side."""
    x, y, width, height = box
    part = np.ascontiguousarray(image[y : y + height, x : x + width, ::-1])
    factor = min(1.0, _SIDE / max(width, height))
    if factor < 1:
        size = max(1, round(width * factor)), max(1, round(height * factor))
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    return encoder.jpeg(part, "a picture of a report", quality=_QUALITY)


def show(numbers: Mapping[str, Any], crops: Mapping[int, bytes], names: Mapping[str, str]) -> list[Shown]:
    """The gallery of a report's numbers.

    Parameters
    ----------
    crops : JPEGs by image id, of the pictures that could be read
    names : of errors, as the page calls them
    """
    return [
        _show(number, picture, numbers, crops.get(picture["image_id"], b""), names)
        for number, picture in enumerate(numbers["pictures"])
    ]


def _show(
    number: int, picture: Mapping[str, Any], numbers: Mapping[str, Any], content: bytes, names: Mapping[str, str]
) -> Shown:
    drawing = _Drawing(numbers["names"], numbers["limbs"], numbers["sides"])
    people = picture["annotated"]
    missed = sum(person["missed"] for person in people)
    panels = [Panel("annotated", f"{_many(len(people))}" + (f", {missed} missed" if missed else ""))]
    for person in people:
        known = {joint: (x, y) for joint, (x, y, visibility) in enumerate(person["joints"]) if visibility > 0}
        panels[0].strokes += drawing.person(known, "missed" if person["missed"] else "")
    for name, results in zip(("found", "against"), picture["found"], strict=False):
        panels.append(_found(name, results, people, drawing, names))
    return Shown(
        number,
        picture["file"],
        picture["image_id"],
        crop(picture),
        base64.b64encode(content).decode(),
        picture["sorts"],
        picture["joints"],
        panels,
        _errors(picture["found"][0], numbers["names"], names, missed),
    )


def _found(
    name: str,
    results: Mapping[str, Any],
    annotated: Sequence[Mapping[str, Any]],
    drawing: _Drawing,
    names: Mapping[str, str],
) -> Panel:
    more = f", {results['more']} of low score not drawn" if results["more"] else ""
    panel = Panel(name, _many(len(results["people"])) + more)
    for person in results["people"]:
        of_nobody = person["sort"] in _OF_NOBODY
        title = f"{names[person['sort']]}, score {person['score']:.2f}, OKS {person['oks']:.2f}"
        panel.strokes += drawing.person(dict(enumerate(person["joints"])), "nobody" if of_nobody else "", title)
    for person in results["people"]:
        for error, joints in person["errors"].items():
            for joint in joints:
                x, y = person["joints"][joint]
                right_x, right_y, _ = annotated[person["of"]]["joints"][joint]
                title = f"{names[error]}: {drawing.names[joint]}"
                panel.strokes.append(Stroke(f"off k-{error}", f"M{x:g} {y:g}L{right_x:g} {right_y:g}"))
                panel.strokes.append(Stroke(f"ring k-{error}", f"M{x:g} {y:g}h0", title))
                panel.strokes.append(Stroke("hole", f"M{x:g} {y:g}h0", title))
    return panel


def _many(people: int) -> str:
    return f"{people} {'person' if people == 1 else 'people'}"


def _errors(found: Mapping[str, Any], joints: Sequence[str], names: Mapping[str, str], missed: int) -> list[str]:
    """What is wrong in a picture: 'swap: left_wrist 2, right_wrist', 'background: 1'."""
    of_joints: dict[str, Counter[str]] = {}
    people: Counter[str] = Counter()
    for person in found["people"]:
        for error, places in person["errors"].items():
            of_joints.setdefault(error, Counter()).update(joints[place] for place in places)
        if person["sort"] in _OF_NOBODY:
            people[person["sort"]] += 1
    said = [
        f"{names[error]}: {', '.join(name if count == 1 else f'{name} {count}' for name, count in counted.items())}"
        for error, counted in of_joints.items()
    ]
    said += [f"{names[sort]}: {count}" for sort, count in people.items()]
    return [*said, f"{names['missed']}: {missed}"] if missed else said


class _Drawing:
    """A skeleton as paths, in a picture's pixels."""

    def __init__(self, names: Sequence[str], limbs: Sequence[Sequence[int]], sides: Sequence[str]) -> None:
        self.names = names
        self._limbs = [(a, b, sides[a] if sides[a] == sides[b] else "middle") for a, b in limbs]

    def person(self, known: Mapping[int, Sequence[float]], style: str, title: str = "") -> list[Stroke]:
        """Limbs by side, then joints; those that are not ``known`` are left out."""
        parts: dict[str, str] = dict.fromkeys(_SIDES, "")
        for a, b, side in self._limbs:
            if a in known and b in known:
                (x, y), (to_x, to_y) = known[a], known[b]
                parts[side] += f"M{x:g} {y:g}L{to_x:g} {to_y:g}"
        strokes = [Stroke(f"limb {side} {style}", path, title) for side, path in parts.items() if path]
        joints = "".join(f"M{x:g} {y:g}h0" for x, y in known.values())
        return [*strokes, *([Stroke(f"joint {style}", joints, title)] if joints else [])]
