"""The joints of a data set: names, mirror partners, grouping order, limbs, sigmas and colours.

Indices are 0-based and follow the order of the network's heatmaps and tag maps. COCO's and CrowdPose's sets are the
files ``joint_sets/*.yaml``; DATASET.JOINTS names one of those, or the user's own. What a file leaves
out comes from the annotation file's category (names, skeleton) or is derived as ``Description.complete`` says.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from higherhrnet.artifacts import sources
from higherhrnet.errors import UserError

Color = tuple[int, int, int]
Pair = tuple[str, str]

SHIPPED = Path(__file__).parent / "joint_sets"
SIGMA = 0.072
"""Of a joint of which nothing says it: the median of COCO's."""
MOST = 1024
"""Of a set's joints; COCO-WholeBody, the largest published, has 133."""

# Okabe and Ito's palette (Color Universal Design, 2008).
_COLORS: dict[str, Color] = {"left": (0, 114, 178), "right": (213, 94, 0), "middle": (245, 245, 245)}
_COLOR = re.compile("#[0-9A-Fa-f]{6}")
_MOST_BYTES = 100_000
_KEYS = ("names", "flip_pairs", "skeleton", "grouping_order", "sigmas", "colors")


@dataclass(frozen=True)
class JointSet:
    """What a network's K maps stand for, in their order. Immutable; all of its parts are of K joints."""

    name: str
    """Of the file, without .yaml, or of where else the names are from."""
    names: tuple[str, ...]
    flip: tuple[int, ...]
    """flip[j] is the joint that j becomes in the mirrored image; j itself in the middle of the body."""
    order: tuple[int, ...]
    """The order in which grouping visits the joints; each once."""
    limbs: tuple[tuple[int, int], ...]
    """Pairs of joints that a drawing connects."""
    sigmas: tuple[float, ...]
    """Of object keypoint similarity: a joint's spread in units of its person's scale."""
    colors: tuple[Color, ...]
    """RGB, for limbs: the left's, the right's, or the middle's."""
    assumed: tuple[str, ...] = ()
    """Joints whose sigma is the default, because nothing says it."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def flip_pairs(self) -> tuple[Pair, ...]:
        """Names of the joints that change places in the mirrored image."""
        return tuple((self.names[a], self.names[b]) for a, b in enumerate(self.flip) if a < b)

    @property
    def sides(self) -> tuple[str, ...]:
        """'left', 'right' or 'middle' of each joint."""
        return tuple(_side(self.names, self.flip, joint) for joint in range(len(self)))

    @property
    def with_center(self) -> JointSet:
        """One joint more, the mean of a person's (DATASET.WITH_CENTER), with which grouping begins."""
        center = len(self)
        return JointSet(
            f"{self.name} with center",
            (*self.names, "center"),
            (*self.flip, center),
            (center, *self.order),
            self.limbs,
            (*self.sigmas, SIGMA),
            (*self.colors, _COLORS["middle"]),
            self.assumed,
        )


@dataclass(frozen=True)
class Description:
    """What a file says of a joint set; None of what it leaves out."""

    source: Path | None = None
    """The file; None where there is none."""
    names: tuple[str, ...] | None = None
    flip_pairs: tuple[Pair, ...] | None = None
    skeleton: tuple[Pair, ...] | None = None
    grouping_order: tuple[str, ...] | None = None
    sigmas: tuple[float, ...] | Mapping[str, float] | None = None
    colors: Mapping[str, Color] | None = None

    def complete(
        self,
        names: Sequence[str] | None = None,
        skeleton: Sequence[tuple[int, int]] | None = None,
        where: Path | None = None,
    ) -> JointSet:
        """The joint set, with names and skeleton of an annotation file's category where the description has none.

        Defaults: flip pairs of names that differ in left and right alone (left_knee and right_knee, L_Knee, lknee,
        kneeLeft ...); grouping in the order of the names; sigmas of COCO's joints of the same name, else their median;
        colours by side.

        Parameters
        ----------
        names, skeleton : of the category, joints counted from 0
        where : its file, for messages

        Raises
        ------
        UserError : no names at all, or what does not belong to them
        """
        found = tuple(self.names if self.names is not None else names or ())
        says = str(self.source or where or "the joint set")
        if not found:
            raise UserError(
                f"{says} names no joints; name them under names: in a yaml file and that file with DATASET.JOINTS"
            )
        place = {name: index for index, name in enumerate(found)}

        def index(name: str, key: str) -> int:
            if name not in place:
                raise UserError(f"joints {says}: {key} names {name!r}, which is none of its {len(found)} joints")
            return place[name]

        flip = list(range(len(found)))
        for a, b in mirrored(found, says) if self.flip_pairs is None else self.flip_pairs:
            i, j = index(a, "flip_pairs"), index(b, "flip_pairs")
            if i == j or flip[i] != i or flip[j] != j:
                raise UserError(f"joints {says}: flip_pairs name {a!r} or {b!r} twice; a joint has one mirror partner")
            flip[i], flip[j] = j, i
        order = tuple(index(name, "grouping_order") for name in self.grouping_order or found)
        if sorted(order) != list(range(len(found))):
            raise UserError(
                f"joints {says}: grouping_order has {len(set(order))} of {len(found)} joints; name each once"
            )
        if self.skeleton is None:
            limbs = tuple(skeleton or ()) if self.names is None or self.names == tuple(names or ()) else ()
        else:
            limbs = tuple((index(a, "skeleton"), index(b, "skeleton")) for a, b in self.skeleton)
        sigmas, assumed = self._sigmas(found, says, index)
        return JointSet(
            self.source.stem if self.source else "annotations",
            found,
            tuple(flip),
            order,
            limbs,
            sigmas,
            self._colors(found, flip, index),
            assumed,
        )

    def _sigmas(self, names: tuple[str, ...], says: str, index: Any) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """A sigma of each joint, and the joints that have the default."""
        given = self.sigmas
        if isinstance(given, tuple):
            if len(given) != len(names):
                raise UserError(f"joints {says}: {len(given)} sigmas for {len(names)} joints; give one for each")
            return given, ()
        for name in given or ():
            index(name, "sigmas")
        known = {**dict(zip(COCO.names, COCO.sigmas, strict=True)), **(given or {})}
        assumed = tuple(name for name in names if name not in known)
        return tuple(known.get(name, SIGMA) for name in names), assumed

    def _colors(self, names: tuple[str, ...], flip: Sequence[int], index: Any) -> tuple[Color, ...]:
        given = {**_COLORS, **(self.colors or {})}
        for name in given.keys() - _COLORS.keys():
            index(name, "colors")
        return tuple(given.get(name, given[_side(names, flip, joint)]) for joint, name in enumerate(names))


def _side(names: Sequence[str], flip: Sequence[int], joint: int) -> str:
    """'left', 'right' or 'middle': by the first letter in which a joint's name and its partner's differ."""
    if flip[joint] == joint:
        return "middle"
    pair = zip(names[joint].lower(), names[flip[joint]].lower(), strict=False)
    here, there = next(((a, b) for a, b in pair if a != b), ("", ""))
    is_left = here in "l左" if {here, there} in ({"l", "r"}, {"左", "右"}) else joint < flip[joint]
    return "left" if is_left else "right"


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_OTHER = {"left": "right", "right": "left", "l": "r", "r": "l"}
_CHINESE = str.maketrans("左右", "右左")
_EXCHANGED = str.maketrans("lrLR", "rlRL")


def _partner(name: str, present: Collection[str]) -> str | None:
    """The name with left and right exchanged; None where it says neither."""
    changed = _WORD.sub(lambda word: _like(word[0], _OTHER.get(word[0].lower(), word[0])), name)
    changed = changed.translate(_CHINESE)
    if changed != name:
        return changed
    # lknee and rknee, kneel and kneer: only where both are there
    glued = name[0].translate(_EXCHANGED) + name[1:], name[:-1] + name[-1].translate(_EXCHANGED)
    return next((other for other in glued if other != name and other in present), None)


def _like(token: str, other: str) -> str:
    if token.isupper():
        return other.upper()
    return other.capitalize() if token[0].isupper() else other


def mirrored(names: Sequence[str], says: str = "the joint set") -> list[Pair]:
    """The pairs of names that differ in left and right alone, each once.

    Raises
    ------
    UserError : a name with left or right in it whose partner is not among the others
    """
    pairs: list[Pair] = []
    for name in names:
        partner = _partner(name, names)
        if partner is None:
            continue
        if partner not in names:
            raise UserError(
                f"joints {says}: {name!r} has no partner {partner!r} in the mirrored image; say which joints change "
                f"places under flip_pairs: in a yaml file and name that file with DATASET.JOINTS"
            )
        if (partner, name) not in pairs:
            pairs.append((name, partner))
    return pairs


def read(file: Path) -> Description:
    """What a joint set's file says.

    Raises
    ------
    UserError : a file that cannot be read, is no such yaml, or has other keys or types
    """
    try:
        text = sources.read(file, _MOST_BYTES).decode()
        if "*" in text and any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise UserError(f"joints {file}: found an alias (*), expected none; write the value out")
        content = yaml.load(text, _UniqueKeys)  # a SafeLoader
    except OSError as e:
        raise UserError(
            f"cannot read joints {file}: {e.strerror}; give an existing yaml file, or one of {shipped_names()}"
        ) from e
    except (ValueError, RecursionError, yaml.YAMLError) as e:
        raise UserError(f"joints {file}: {' '.join(str(e).split())}; give a yaml file") from e

    def refuse(expected: str) -> NoReturn:
        raise UserError(f"joints {file}: expected {expected}; see docs/configurations.md")

    if not isinstance(content, dict) or not content.keys() <= set(_KEYS):
        refuse(f"a mapping with {', '.join(_KEYS)}, each optional")
    found = {}
    for key, value in content.items():
        expected, parsed = _value(key, value)
        if parsed is None:
            refuse(f"{key} to be {expected}")
        found[key] = parsed
    return Description(file, **found)


def _value(key: str, value: Any) -> tuple[str, Any]:
    """What a key's value has to be, and the value as Description has it; None where it is something else."""
    if key in {"names", "grouping_order"}:
        is_sound = _is_texts(value) and 0 < len(value) <= MOST and len(set(value)) == len(value)
        return f"a list of up to {MOST} names, each once", tuple(value) if is_sound else None
    if key in {"flip_pairs", "skeleton"}:
        is_sound = isinstance(value, list) and all(_is_texts(pair) and len(pair) == 2 for pair in value)
        return "a list of pairs of names", tuple((a, b) for a, b in value) if is_sound else None
    if key == "sigmas":
        numbers = list(value.values()) if isinstance(value, dict) else value
        is_sound = isinstance(numbers, list) and all(type(n) in {int, float} and 0 < n < 10 for n in numbers)
        parsed = value if isinstance(value, dict) else tuple(value or ())
        return "positive numbers below 10, a list or one a name", parsed if is_sound else None
    is_sound = isinstance(value, dict) and all(_COLOR.fullmatch(str(color)) for color in value.values())
    expected = "colours such as '#0072b2', of names or of left, right and middle"
    return expected, {name: _rgb(text) for name, text in value.items()} if is_sound else None


def _rgb(text: str) -> Color:
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item and item.isprintable() for item in value)


class _UniqueKeys(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # in C where it is built
    """Refuses a key that is there twice, of which YAML's loaders silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := [key for key, _ in node.value if keys.count(key.value) > 1]:
            raise yaml.YAMLError(f"{twice[-1].value} stands in line {twice[-1].start_mark.line + 1} once more")
        return super().construct_mapping(node, deep)


def shipped_names() -> str:
    """The sets that this package has, for messages."""
    return ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))


def locate(named: str, beside: Path) -> Path:
    """The file that DATASET.JOINTS names: one that is shipped, or a path, from here or from the config's folder."""
    if re.fullmatch(r"\w+", named) and (SHIPPED / f"{named}.yaml").is_file():
        return SHIPPED / f"{named}.yaml"
    path = Path(named)
    return path if path.is_absolute() or path.exists() else next((p for p in (beside / path,) if p.exists()), path)


COCO = read(SHIPPED / "coco.yaml").complete()
CROWD_POSE = read(SHIPPED / "crowd_pose.yaml").complete()
