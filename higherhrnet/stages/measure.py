"""Stage 6, where it measures itself: latencies of a backend that runs in this process, shape by shape."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from higherhrnet.artifacts import inputs
from higherhrnet.artifacts.perf import Perf
from higherhrnet.backends import in_process
from higherhrnet.stages.passes import Pass

PERCENTILES = (50, 90, 99)


def measure(
    backend: in_process.InProcess,
    shape: tuple[int, int],
    *,
    rounds: int,
    warm_up: int,
    device: int = 0,
    files: Sequence[Path] = (),
    dtype: str = inputs.FLOAT32,
) -> Perf:
    """Time the network alone on batches of one shape (H, W), one after another.

    Parameters
    ----------
    rounds, warm_up : batches that count, and before them batches that do not
    files : real inputs, taken in turn, read between the calls; without them seeded noise of the spread of normalised
        images
    dtype : of the files

    Returns
    -------
    Images a second from the mean latency, and percentiles of the latency: each is one that was measured
    """
    runner = backend.open(shape, device)
    source = runner.sources[0]
    source[:] = np.random.default_rng(0).standard_normal(source.shape, dtype=np.float32)
    turn = itertools.cycle(files)
    taken = []
    for number in range(warm_up + rounds):
        if files:
            in_process.fill(source, list(itertools.islice(turn, backend.batch)), dtype)
        runner.launch(0)
        seconds = runner.wait(0).execute
        if number >= warm_up:
            taken.append(seconds)
    values = np.percentile(taken, PERCENTILES, method="inverted_cdf") * 1000
    rate = backend.batch * rounds / sum(taken)
    return Perf(backend.batch, device, shape, rate, dict(zip(PERCENTILES, map(float, values), strict=True)))


def of_pass(plain: Pass) -> Iterator[tuple[tuple[int, int], list[Path]]]:
    """The shapes that a pass has inputs of, and these."""
    for group in plain.groups:
        yield group.shape, [entry.path for entry in group.entries]
