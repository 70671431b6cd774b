"""A set of found people against the annotated ones: matches and curves of any part of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from higherhrnet.report.analysis import matching, precision, similarity
from higherhrnet.report.analysis.matching import AREAS, THRESHOLDS, Matches
from higherhrnet.report.analysis.people import Found, Truth
from higherhrnet.report.analysis.precision import Curve
from higherhrnet.report.analysis.similarity import Pairs

LOCALISED = 0.1
"""OKS from which a found person is said to be of an annotated one, however badly (Ronchi and Perona 2017, 4)."""


@dataclass(frozen=True)
class Evaluator:
    """Nothing in it changes; what was computed once is kept."""

    truth: Truth
    found: Found
    sigmas: np.ndarray
    """float64 [K]"""
    flip: tuple[int, ...]
    """flip[j] is the joint that j becomes in the mirrored image."""

    @cached_property
    def variances(self) -> np.ndarray:
        """k^2 [K]"""
        return similarity.variances(self.sigmas)

    @cached_property
    def pairs(self) -> Pairs:
        """All pairs of found and annotated people of one image."""
        return similarity.pairs(self.truth, self.found)

    @cached_property
    def oks(self) -> np.ndarray:
        """float64 [P], of the pairs, over all joints."""
        return similarity.oks(self.pairs, self.truth, self.found, self.variances)

    @cached_property
    def order(self) -> np.ndarray:
        """int64 [D], by falling score."""
        return precision.by_score(self.found.scores)

    @cached_property
    def matches(self) -> Matches:
        """Of people of all sizes, at all thresholds."""
        return self.match()

    @cached_property
    def localised(self) -> Matches:
        """At LOCALISED alone: T is 1."""
        return self.match(thresholds=np.array([LOCALISED]))

    def match(
        self,
        *,
        thresholds: np.ndarray = THRESHOLDS,
        area: tuple[float, float] = AREAS["all"],
        ignored: np.ndarray | None = None,
    ) -> Matches:
        """As matching.match."""
        return matching.match(
            self.truth, self.found, self.pairs, self.oks, thresholds=thresholds, area=area, ignored=ignored
        )

    def of_joint(self, joint: int) -> Matches:
        """Matches by that joint alone: people without it are ignored."""
        only = slice(joint, joint + 1)
        oks = similarity.oks(self.pairs, self.truth, self.found, self.variances, only)
        ignored = self.truth.crowd | ~self.truth.labelled[:, joint]
        return matching.match(self.truth, self.found, self.pairs, oks, ignored=ignored)

    def curve(self, matches: Matches, images: np.ndarray | None = None, order: np.ndarray | None = None) -> Curve:
        """Precision over recall; of the images chosen (bool [N]) alone, or in another order than by score."""
        chosen = self.order if order is None else order
        counted = matches.counted
        if images is not None:
            chosen = chosen[images[self.found.image[chosen]]]
            counted = counted & images[self.truth.image]
        return precision.curve(matches.right[:, chosen], matches.wrong[:, chosen], int(counted.sum()))

    def with_keypoints(self, keypoints: np.ndarray) -> Evaluator:
        """The same people with other keypoints [D, K, 2]."""
        made = replace(self, found=replace(self.found, keypoints=keypoints))
        changed = (keypoints != self.found.keypoints).any(axis=(1, 2))[self.pairs.found]
        oks = self.oks.copy()
        oks[changed] = similarity.oks(self.pairs.chosen(changed), self.truth, made.found, self.variances)
        # What is the same need not be computed again.
        made.__dict__.update(variances=self.variances, pairs=self.pairs, oks=oks, order=self.order)
        return made
