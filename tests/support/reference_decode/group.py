"""Grouping of joint candidates into people by their tags (Newell et al. 2017, Associative Embedding, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from munkres import Munkres

_PADDING_COST = 1e10  # lib/core/group.py: no real cost comes near, so a padding column is taken only for want of people


@dataclass
class _Person:
    joints: np.ndarray  # float32 [K, 3]: x, y, value
    tags: np.ndarray  # float32 [K, T]
    tag_history: list[np.ndarray] = field(default_factory=list)


def group(
    candidates: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    *,
    order: Sequence[int],
    max_people: int,
    tag_threshold: float,
    use_detection_value: bool,
    ignore_too_much: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Join candidates into people, joint by joint in ``order``.

    Parameters
    ----------
    candidates : for each of K joints its points int64 [n, 2] (x, y), values float32 [n] and tags float32 [n, T]
    order : the joints in the order in which they are joined
    max_people : later candidates are matched against this many people, the first founded
    tag_threshold : a candidate nearer than this in tag space joins its person, another founds a new one
    use_detection_value : cost is round(distance) * 100 - value instead of the distance
    ignore_too_much : once ``max_people`` are founded, drop later joints' candidates instead of matching them

    Returns
    -------
    joints : float32 [P, K, 3], x, y, value; value 0 where the person lacks the joint; P may exceed ``max_people``
    tags : float32 [P, K, T], 0 where the joint is missing
    """
    people: dict[float, _Person] = {}
    joint_count = len(candidates)

    for joint in order:
        points, values, tags = candidates[joint]
        if not len(points):
            continue
        if not people:
            for i in range(len(points)):
                _found(people, joint, joint_count, points[i], values[i], tags[i])
            continue
        known = list(people.values())[:max_people]
        if ignore_too_much and len(known) == max_people:
            continue
        means = np.array([np.mean(person.tag_history, axis=0) for person in known])
        # float64 from here, as the reference: costs that tie there must tie here.
        distances = np.linalg.norm(tags[:, None].astype(np.float64) - means[None], axis=2)  # [n, people]
        costs = distances
        if use_detection_value:
            costs = np.round(distances) * 100 - values[:, None].astype(np.float64)
        if len(points) > len(known):
            padding = np.full((len(points), len(points) - len(known)), _PADDING_COST)
            costs = np.concatenate((costs, padding), axis=1)
        for row, column in Munkres().compute(costs.tolist()):
            if column < len(known) and distances[row, column] < tag_threshold:
                _join(known[column], joint, points[row], values[row], tags[row])
            else:
                _found(people, joint, joint_count, points[row], values[row], tags[row])

    tag_size = candidates[0][2].shape[1]
    joints = np.array([p.joints for p in people.values()], np.float32).reshape(-1, joint_count, 3)
    return joints, np.array([p.tags for p in people.values()], np.float32).reshape(-1, joint_count, tag_size)


def _join(person: _Person, joint: int, point: np.ndarray, value: np.ndarray, tag: np.ndarray) -> None:
    person.joints[joint] = (*point, value)
    person.tags[joint] = tag
    person.tag_history.append(tag)


def _found(
    people: dict[float, _Person], joint: int, count: int, point: np.ndarray, value: np.ndarray, tag: np.ndarray
) -> None:
    """Found a person. People are keyed by the first component of the founding tag: an equal key takes that person over,
    keeps its joints and forgets its tags, as the reference does.
    """
    key = float(tag[0])
    if key not in people:
        people[key] = _Person(np.zeros((count, 3), np.float32), np.zeros((count, len(tag)), np.float32))
    people[key].tag_history = []
    _join(people[key], joint, point, value, tag)
