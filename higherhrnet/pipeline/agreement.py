"""Whether a lower precision finds float32's people: of each shape's first picture both are decoded, and compared.

A tolerance on maps does not say it: rounding that is small beside the largest value moves a peak across a threshold, or
a joint to another person. One picture a shape is no average precision either; it shows what is wrong at a shape.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from higherhrnet import decode
from higherhrnet.decode import filters
from higherhrnet.stages.matches import closest

CLEAR = 0.1
"""People of a lower score come and go, and joints of a lower value hop, at any rounding: neither is counted."""
SAME = 0.9
"""Object keypoint similarity from which on a person is the same.

Measured on 12 scenes with the demo network, every layer rounded on a CPU: 0.94 and more in float16, where clear joints
moved by 1.5 pixels at most; in bfloat16 down to 0.82, and a clear joint moved by 357 pixels.
"""
_ONE_PERSON = 0.5  # below, two are different people
_NAMED = 4  # shapes
_SIGMA = 0.067  # of every joint: the mean of COCO's


@dataclass(frozen=True)
class Compared:
    """A picture's people, in float32 and in a lower precision; those of low scores only where the other has them."""

    exact: int
    """People in float32."""
    found: int
    """People in the lower precision."""
    same: int
    """Pairs that are the same person, at the same place."""
    shift: float
    """The largest distance between the two places of a pair's joint that is clear in both, in pixels of the picture."""
    score: float
    """The largest difference between a pair's scores."""

    @property
    def agrees(self) -> bool:
        """Whether all people are the same."""
        return self.exact == self.found == self.same


def compare(exact: decode.People, found: decode.People) -> Compared:
    """Compare two lists of a picture's people; the most similar are a pair first, each once."""
    likeness = filters.similarities(exact.keypoints, found.keypoints, [_SIGMA] * exact.keypoints.shape[1])
    pairs = closest(-likeness, -_ONE_PERSON)
    alone = [np.delete(own.scores, [pair[side] for pair in pairs]) for side, own in enumerate((exact, found))]
    pairs = [(a, b) for a, b in pairs if max(exact.scores[a], found.scores[b]) >= CLEAR]
    counts = [len(pairs) + int((scores >= CLEAR).sum()) for scores in alone]
    shifts, scores = [0.0], [0.0]
    for a, b in pairs:
        both = np.minimum(exact.keypoints[a, :, 2], found.keypoints[b, :, 2]) >= CLEAR
        places = exact.keypoints[a, both, :2] - found.keypoints[b, both, :2]
        shifts.append(float(np.linalg.norm(places, axis=1).max(initial=0)))
        scores.append(abs(float(exact.scores[a]) - float(found.scores[b])))
    same = sum(bool(likeness[pair] >= SAME) for pair in pairs)
    return Compared(counts[0], counts[1], same, max(shifts), max(scores))


class Agreement:
    """What was found of each shape, added by several threads."""

    def __init__(self, name: str) -> None:
        """``name``: of the backend, with its precision."""
        self._name, self._lock = name, threading.Lock()
        self.shapes: dict[tuple[int, int], Compared] = {}
        """By shape (H, W)."""

    def add(self, shape: tuple[int, int], exact: decode.People, found: decode.People) -> None:
        """Compare the people of a shape's first picture."""
        self.keep(shape, compare(exact, found))

    def keep(self, shape: tuple[int, int], compared: Compared) -> None:
        """Add what was compared; of several devices' the first one is kept, or one that does not agree."""
        with self._lock:
            known = self.shapes.get(shape)
            if known is None or known.agrees:
                self.shapes[shape] = compared

    def text(self) -> str:
        """A line to print; '' before anything was compared."""
        every = dict(sorted(self.shapes.items()))
        if not every:
            return ""
        far = max(one.shift for one in every.values())
        score = max(one.score for one in every.values())
        within = f"joints up to {far:.3g} pixels apart, scores {score:.2g}"
        what = f"{self._name} against float32, the first picture of {_counted(len(every), 'shape')}"
        wrong = {shape: one for shape, one in every.items() if not one.agrees}
        if not wrong:
            people = _counted(sum(one.exact for one in every.values()), "person", "people")
            return f"{what}: {people}, all the same, {within}"
        named = [
            f"{height}x{width}: {one.same} of {one.exact} the same, {one.found - one.same} others"
            for (height, width), one in wrong.items()
        ]
        shown = "; ".join(named[:_NAMED]) + " ..." * (len(named) > _NAMED)
        return (
            f"note: {what}: other people at {len(wrong)} ({shown}), {within}; see what its AP is, or give "
            f"--precision float32"
        )


def _counted(number: int, one: str, several: str = "") -> str:
    return f"{number} {one if number == 1 else several or one + 's'}"
