"""Errors of joints and people: by hand, put in and found again, and against the public analysis code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from higherhrnet.report.analysis import errors
from higherhrnet.report.analysis.errors import BACKGROUND, DUPLICATE, FOUND, IGNORED, KINDS, Labels
from tests.support import crowd, golden

JOINT = 9
"""The left wrist; its mirror partner is 10."""


def labelled(*people: np.ndarray, found: np.ndarray, crowds: int = 0) -> Labels:
    """Of one found person in a picture of people of area 100 x 100, the last of them crowds."""
    rows = [crowd.person(n + 1, 1, k, [0, 0, 100, 100]) for n, k in enumerate(people)]
    for row in rows[len(rows) - crowds :]:
        row["iscrowd"] = 1
    return errors.label(crowd.evaluator(crowd.content([1], rows), [crowd.result(1, found, 0.9)]))


def standing(x: float) -> np.ndarray:
    """A person [17, 3] whose joints are 60 pixels apart, the first at ``x``."""
    return np.column_stack((x + 60.0 * np.arange(17), np.full((17, 2), (100, 2))))


def off(ks: float, joint: int = JOINT) -> float:
    """How many pixels beside a joint have that similarity, by a person of area 100 x 100."""
    return float(np.sqrt(-2 * np.log(ks)) * 100 * 2 * crowd.SIGMAS[joint])


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ((0, off(0.86)), "good"),
        ((0, off(0.84)), "jitter"),
        ((0, off(0.51)), "jitter"),
        ((0, off(0.49)), "miss"),
        ((60, 0), "inversion"),
        ((60, off(0.51)), "inversion"),
        ((60, off(0.49)), "miss"),
        ((5000, 0), "swap"),
        ((5060, 0), "swap"),  # the other person's mirror partner
        ((5000, off(0.49)), "miss"),
    ],
)
def test_kinds_of_joints(where: tuple[float, float], kind: str) -> None:
    """The left wrist moved by so many pixels; the other person stands 5000 to the right."""
    one, other = standing(0), standing(5000)
    found = one[:, :2].copy()
    found[JOINT] += where
    labels = labelled(one, other, found=found)
    assert KINDS[labels.joints[0, JOINT]] == kind
    assert (np.delete(labels.joints[0], JOINT) == errors.GOOD).all()
    assert labels.people.tolist() == [FOUND]
    assert labels.missed.tolist() == [False, True]


def test_a_joint_that_is_not_annotated_has_no_error() -> None:
    one = standing(0)
    one[JOINT] = 0
    labels = labelled(one, found=standing(0)[:, :2])
    assert labels.joints[0, JOINT] == -1
    assert (labels.joints >= 0).sum() == 16


def test_a_joint_without_mirror_partner_is_never_inverted() -> None:
    """The nose is its own partner: where it is annotated it is good."""
    labels = labelled(standing(0), found=standing(0)[:, :2])
    assert labels.joints[0, 0] == errors.GOOD


def test_kinds_of_people() -> None:
    one, other = standing(0), standing(5000)
    rows = [crowd.person(1, 1, one, [0, 0, 100, 100]), crowd.person(2, 1, other, [0, 0, 100, 100], iscrowd=1)]
    points = [one, one + 1, other, one + 20_000]
    entries = [crowd.result(1, p[:, :2], 0.9 - 0.1 * n) for n, p in enumerate(points)]
    labels = errors.label(crowd.evaluator(crowd.content([1], rows), entries))
    assert labels.people.tolist() == [FOUND, DUPLICATE, IGNORED, BACKGROUND]
    assert labels.person.tolist() == [0, -1, -1, -1]
    assert labels.missed.tolist() == [False, False]


@pytest.fixture(scope="module", params=[0.0, 0.3], ids=["exact", "noisy"])
def spoiled(request: pytest.FixtureRequest) -> tuple[dict[str, Any], list[dict[str, Any]], crowd.Injected]:
    """Annotations, clean results, and the same with errors."""
    content, rng = crowd.drawn(60, seed=19), np.random.default_rng(4)
    clean = crowd.exact(content, rng, noise=request.param)
    return content, clean, crowd.spoil(content, clean, rng)


Spoiled = tuple[dict[str, Any], list[dict[str, Any]], crowd.Injected]


def test_errors_that_were_put_in_are_found(spoiled: Spoiled) -> None:
    """At least 95 % of each kind, and no more than 5 % beyond those of the clean results."""
    content, clean, put_in = spoiled
    before = errors.label(crowd.evaluator(content, clean)).joints
    ours = crowd.evaluator(content, put_in.entries)
    labels = errors.label(ours)
    place = {int(entry): row for row, entry in enumerate(ours.found.entry)}
    for kind, where in put_in.joints.items():
        hits = [labels.joints[place[entry], joint] == KINDS.index(kind) for entry, joint in where]
        assert len(hits) >= 60, kind
        assert np.mean(hits) >= 0.95, kind
        assert (labels.joints == KINDS.index(kind)).sum() <= 1.05 * len(where) + (before == KINDS.index(kind)).sum(), (
            kind
        )
    assert np.flatnonzero(labels.missed).tolist() == put_in.missed
    assert (labels.people == BACKGROUND).sum() == put_in.invented > 10
    assert (labels.people == DUPLICATE).sum() == put_in.doubled > 10


def test_mending_leads_back_to_the_clean_results(spoiled: Spoiled) -> None:
    content, clean, put_in = spoiled
    before = crowd.evaluator(content, clean)
    ap = before.curve(before.matches).ap
    ours = crowd.evaluator(content, put_in.entries)
    labels = errors.label(ours)
    as_found = ours.curve(ours.matches).ap
    assert as_found < ap - 0.2
    alone = {mended.name: mended.curve.ap for mended in errors.mend(ours, labels)}
    assert all(value >= as_found - 1e-9 for value in alone.values())
    assert all(alone[kind] > as_found + 0.005 for kind in put_in.joints)
    in_turn = [mended.curve.ap for mended in errors.mend_in_turn(ours, labels)]
    assert in_turn == sorted(in_turn)
    assert in_turn[-1] >= ap - 1e-9


def test_one_joint_mended_is_its_errors_mended(spoiled: Spoiled) -> None:
    """As results in which somebody has put it right, read and matched afresh."""
    content, _, put_in = spoiled
    ours = crowd.evaluator(content, put_in.entries)
    labels = errors.label(ours)
    repaired = json.loads(json.dumps(put_in.entries))
    for row in np.flatnonzero(labels.joints[:, JOINT] > errors.GOOD):
        right = ours.truth.keypoints[labels.person[row], JOINT, :2]
        repaired[ours.found.entry[row]]["keypoints"][3 * JOINT : 3 * JOINT + 2] = right.tolist()
    other = crowd.evaluator(content, repaired)
    assert errors.mend_joint(ours, labels, JOINT).ap == pytest.approx(other.curve(other.matches).ap, abs=1e-9)


# The public analysis code: what it says is recorded, and where a checkout is at hand it is run.

FIXTURES = ("crowd", "scenes")


def fixture(name: str, folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Annotations and results whose errors are named by both."""
    if name == "scenes":
        path = golden.annotate(folder)
        return json.loads(path.read_text()), golden.results(path)
    content, rng = crowd.drawn(30, seed=20), np.random.default_rng(5)
    return content, crowd.spoil(content, crowd.exact(content, rng, noise=0.5), rng).entries


def named(content: dict[str, Any], entries: list[dict[str, Any]]) -> dict[str, dict[str, list[int]]]:
    """Joints of each kind by place of the entry, of those that are somebody's."""
    ours = crowd.evaluator(content, entries)
    labels = errors.label(ours)
    return {
        str(entry): {kind: np.flatnonzero(row == place).tolist() for place, kind in enumerate(KINDS)}
        for entry, row, person in sorted(zip(ours.found.entry.tolist(), labels.joints, labels.person, strict=True))
        if person >= 0
    }


@pytest.mark.parametrize("name", FIXTURES)
def test_errors_are_those_that_the_public_analysis_names(name: str, tmp_path: Path) -> None:
    """Joint by joint, as its code named them (golden/errors.json), with its AP as found.

    It moves a mended joint to where a ks of 0.5 or 0.85 would be by half the sigma; here it is put right.
    """
    content, entries = fixture(name, tmp_path)
    theirs = golden.read("errors.json")[name]
    assert named(content, entries) == theirs["labels"]
    ours = crowd.evaluator(content, entries)
    assert ours.curve(ours.matches).ap == pytest.approx(theirs["AP"]["baseline"], abs=1e-9)
    in_turn = {mended.name: mended.curve.ap for mended in errors.mend_in_turn(ours, errors.label(ours))}
    assert all(in_turn[kind] >= theirs["AP"][kind] - 1e-9 for kind in ("miss", "swap", "inversion", "jitter"))


@pytest.mark.parametrize("name", FIXTURES)
def test_the_public_analysis_beside(name: str, tmp_path: Path) -> None:
    """HIGHERHRNET_ANALYSIS is a checkout of github.com/matteorr/coco-analyze."""
    checkout = os.environ.get("HIGHERHRNET_ANALYSIS")
    if not checkout:
        pytest.skip("needs a checkout of coco-analyze in HIGHERHRNET_ANALYSIS")
    content, entries = fixture(name, tmp_path)
    files = tmp_path / "annotations.json", tmp_path / "results.json"
    for file, value in zip(files, (content, entries), strict=True):
        file.write_text(json.dumps(value))
    worker = Path(__file__).parents[2] / "support/public_analysis.py"
    done = subprocess.run([sys.executable, worker, checkout, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)
    assert theirs == golden.read("errors.json")[name]
