"""What is wrong with found people: the errors of Ronchi and Perona 2017 (Benchmarking and Error Diagnosis in
Multi-Instance Pose Estimation), and the average precision that mending each would give.

A found person that reaches an OKS of 0.1 with an annotated one is of that one, and each of its annotated joints is one
of KINDS. ks is the similarity with a single annotated joint (similarity.of_joints); compared are the same joint and its
mirror partner of this person and of all others in the image, each at its own person's scale:

    good       its own joint is the most similar, ks >= 0.85
    jitter     its own joint is the most similar, 0.5 <= ks < 0.85
    inversion  the mirror partner of the same person is, ks >= 0.5
    swap       the same joint, or its mirror partner, of another person is, ks >= 0.5
    miss       none reaches 0.5

People have errors of their own: a found one that is nobody's is background, or a duplicate where the person that it
resembles has another; an annotated one that none is of is missed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from higherhrnet.report.analysis import similarity
from higherhrnet.report.analysis.evaluator import LOCALISED, Evaluator
from higherhrnet.report.analysis.matching import Matches
from higherhrnet.report.analysis.precision import Curve

KINDS = ("good", "jitter", "inversion", "swap", "miss")
"""Of joints; a Labels.joints is a place in it, -1 where the joint is not annotated or the person nobody's."""
GOOD, JITTER, INVERSION, SWAP, MISS = range(5)
ERRORS = KINDS[1:]
PEOPLE = ("found", "duplicate", "background", "ignored")
"""Of found people; a Labels.people is a place in it. Ignored ones are of a crowd or of somebody without joints."""
FOUND, DUPLICATE, BACKGROUND, IGNORED = range(4)
_CLOSE, _GOOD = 0.5, 0.85  # ks


@dataclass(frozen=True)
class Labels:
    """What is right and wrong with D found and G annotated people."""

    person: np.ndarray
    """int64 [D]: whose the found person is, -1 for nobody's."""
    people: np.ndarray
    """int8 [D]"""
    joints: np.ndarray
    """int8 [D, K]"""
    oks: np.ndarray
    """float64 [D]: of a found one with its person, of others the highest with anybody, 0 with none."""
    missed: np.ndarray
    """bool [G]: people that count and that nobody found."""


def label(evaluator: Evaluator) -> Labels:
    """Name the errors of all people."""
    truth, found, matches, pairs = evaluator.truth, evaluator.found, evaluator.localised, evaluator.pairs
    person = np.where(matches.ignored[0], -1, matches.person[0])
    highest = np.zeros(len(found))
    np.maximum.at(highest, pairs.found, np.where(truth.ignored[pairs.person], 0, evaluator.oks))
    people = np.full(len(found), BACKGROUND, np.int8)
    people[highest >= LOCALISED] = DUPLICATE
    people[matches.ignored[0]] = IGNORED
    people[person >= 0] = FOUND
    oks = np.where(person >= 0, matches.oks[0], highest)
    return Labels(person, people, _joints(evaluator, person), oks, matches.missing[0])


def _joints(evaluator: Evaluator, person: np.ndarray) -> np.ndarray:
    """Labels.joints of found people that are of those annotated ones (int64 [D], -1 for nobody's)."""
    truth = evaluator.truth
    result = np.full((len(person), truth.keypoints.shape[1]), -1, np.int8)
    pairs = evaluator.pairs.chosen(person[evaluator.pairs.found] >= 0)
    if not len(pairs):
        return result
    starts = np.flatnonzero(np.diff(pairs.found, prepend=-1))  # pairs of one found person are together
    found = pairs.found[starts]
    is_own = pairs.person == person[pairs.found]
    similar = []
    for which in (None, np.array(evaluator.flip)):
        ks = similarity.of_joints(pairs, truth, evaluator.found, evaluator.variances, which)
        of_others = np.maximum.reduceat(np.where(is_own[:, None], -1.0, ks), starts, axis=0)
        similar += [ks[is_own], of_others]
    result[found] = np.where(truth.labelled[person[found]], _kinds(*similar), -1)
    return result


def _kinds(own: np.ndarray, other: np.ndarray, inverted: np.ndarray, mirrored_other: np.ndarray) -> np.ndarray:
    """Places in KINDS; of equally similar joints the own one, then another's, then the own mirror partner."""
    most = np.maximum.reduce([own, inverted, other, mirrored_other])
    return np.select(
        [most < _CLOSE, (own == most) & (own >= _GOOD), own == most, other == most, inverted == most],
        [MISS, GOOD, JITTER, SWAP, INVERSION],
        SWAP,
    ).astype(np.int8)


@dataclass(frozen=True)
class Mended:
    """The curve that results would have without some of their errors."""

    name: str
    curve: Curve


ALONE = (*ERRORS, "joints", "scores", "duplicate", "background", "missed")
"""What is mended alone: an error of joints, all of these, the order by score, an error of people."""
IN_TURN = ("miss", "swap", "inversion", "jitter", "scores", "duplicate", "background", "missed")
"""The order of Ronchi and Perona in which errors are mended one after another; in the end only joints are left that are
good and yet not exact."""


def mend(evaluator: Evaluator, labels: Labels) -> list[Mended]:
    """The curves of people of all sizes when each of ALONE is mended and nothing else.

    A mended joint is where it is annotated. Mended scores are the OKS of each found person with its own. Mended people
    that are duplicates or background are gone; of those that were missed nobody has to be found.
    """
    return [Mended(name, _mended(evaluator, labels, {name})) for name in ALONE]


def mend_in_turn(evaluator: Evaluator, labels: Labels) -> list[Mended]:
    """The curves when the first, the first two, ... of IN_TURN are mended."""
    return [Mended(name, _mended(evaluator, labels, set(IN_TURN[: place + 1]))) for place, name in enumerate(IN_TURN)]


def mend_joint(evaluator: Evaluator, labels: Labels, joint: int) -> Curve:
    """The curve when all errors of one joint are mended."""
    chosen = np.zeros(labels.joints.shape, bool)
    chosen[:, joint] = labels.joints[:, joint] > GOOD
    return _curve(_with_joints(evaluator, labels, chosen), labels, set())


def _mended(evaluator: Evaluator, labels: Labels, names: set[str]) -> Curve:
    kinds = [kind for kind, name in enumerate(KINDS) if name in names or ("joints" in names and kind > GOOD)]
    chosen = np.isin(labels.joints, kinds)
    return _curve(_with_joints(evaluator, labels, chosen) if chosen.any() else evaluator, labels, names)


def _with_joints(evaluator: Evaluator, labels: Labels, chosen: np.ndarray) -> Evaluator:
    """With the joints chosen (bool [D, K]) where they are annotated."""
    annotated = evaluator.truth.keypoints[labels.person][..., :2]
    return evaluator.with_keypoints(np.where(chosen[..., None], annotated, evaluator.found.keypoints))


def _curve(evaluator: Evaluator, labels: Labels, names: set[str]) -> Curve:
    truth = evaluator.truth
    if "scores" in names:
        found, order = evaluator.found.scored(_similarities(evaluator, labels))
        evaluator = replace(evaluator, found=found)
        labels = replace(labels, person=labels.person[order], people=labels.people[order])
    gone = np.isin(labels.people, [kind for kind, name in enumerate(PEOPLE) if name in names])
    ignored = truth.ignored | labels.missed if "missed" in names else None
    matches = evaluator.match(ignored=ignored)
    return evaluator.curve(_without(matches, gone))


def _similarities(evaluator: Evaluator, labels: Labels) -> np.ndarray:
    """float64 [D]: OKS of each found person with its own; 0 of those that are nobody's."""
    result = np.zeros(len(evaluator.found))
    pairs = evaluator.pairs
    is_own = pairs.person == labels.person[pairs.found]
    result[pairs.found[is_own]] = evaluator.oks[is_own]
    return result


def _without(matches: Matches, gone: np.ndarray) -> Matches:
    """With those found people (bool [D]) neither right nor wrong, where they match nobody."""
    return replace(matches, ignored=matches.ignored | (gone & (matches.person < 0)))
