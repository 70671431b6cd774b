"""What a network finds on a data set, in memory: inputs to people and their figures, and the time it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from higherhrnet import decode
from higherhrnet.artifacts import info, inputs, seen
from higherhrnet.artifacts.inputs import Shape
from higherhrnet.backends.in_process import InProcess, Session, fill
from higherhrnet.config.options import Options
from higherhrnet.config.plan import Plan
from higherhrnet.dataset import coco, coco_results, evaluation, ground_truth
from higherhrnet.errors import UserError
from higherhrnet.stages.passes import Pass


@dataclass(frozen=True)
class Found:
    """People of a data set's images, and what finding them took."""

    people: list[dict[str, Any]]
    """Results entries."""
    figures: dict[str, float]
    """Those of evaluation.evaluate, over the images that have inputs."""
    images: int
    network: float
    """Seconds in the network alone, of both passes."""
    whole: float
    """Seconds from inputs on disk to people."""
    milliseconds: dict[Shape, float]
    """The median time of the network alone for a batch of a shape (H, W)."""


def check(passes: Sequence[Pass], dataset: coco.Dataset) -> None:
    """Refuse inputs of another data set. Raises UserError."""
    for current in passes:
        if current.made is not None and current.made.work.dataset != dataset.fingerprint:
            raise UserError(
                f"the inputs that {current.groups[0].source} lists are of another data set than "
                f"{dataset.annotations}; give that one with DATASET.ROOT and DATASET.TEST"
            )
        if current.indices[-1] >= len(dataset.images):
            raise UserError(
                f"{current.groups[0].source} lists an input of image {current.indices[-1]}, but "
                f"{dataset.annotations} lists {len(dataset.images)}; give the data set that the inputs are of"
            )


def find(
    backend: InProcess,
    passes: Sequence[Pass],
    dataset: coco.Dataset,
    plan: Plan,
    options: Options,
    protocol: ground_truth.EvaluationProtocol | None = None,
    *,
    done: Callable[[int], object] = lambda _: None,
) -> Found:
    """Run a network over a plain pass and, where there is one, the flipped pass; decode, and evaluate.

    The first batch of each shape is run once more, untimed: it plans its memory.

    Parameters
    ----------
    protocol : as what annotated people are evaluated; COCO's by default

    Raises
    ------
    UserError : inputs that cannot be read, or outputs that are not finite
    """
    mirrored = {inputs.index_of(e.path): e for current in passes[1:] for g in current.groups for e in g.entries}
    people: dict[int, list[dict[str, Any]]] = {}
    taken: dict[Shape, list[float]] = {}
    begin, untimed = time.perf_counter(), 0.0
    for group in passes[0].groups:
        start = time.perf_counter()
        session = backend.open(group.shape)
        _outputs(session, group.entries[: backend.batch], passes[0], [])
        untimed += time.perf_counter() - start
        times = taken.setdefault(group.shape, [])
        for first in range(0, len(group.entries), backend.batch):
            plain = group.entries[first : first + backend.batch]
            outputs = [_outputs(session, plain, passes[0], times)]
            if len(passes) > 1:
                flipped = [mirrored[inputs.index_of(entry.path)] for entry in plain]
                outputs.append(_outputs(session, flipped, passes[1], times))
            for place, entry in enumerate(plain):
                image = dataset.images[inputs.index_of(entry.path)]
                of_image = [(first[place], second[place]) for first, second in outputs]
                people[image.index] = _decoded(image, plan, of_image, options, backend.name, dataset.person)
            done(len(plain))
    whole = time.perf_counter() - begin - untimed
    entries = [entry for index in sorted(people) for entry in people[index]]
    ids = [dataset.images[index].image_id for index in sorted(people)]
    figures = evaluation.evaluate_entries(dataset, entries, ids, protocol)
    medians = {shape: 1000 * float(np.median(times)) for shape, times in taken.items()}
    return Found(entries, figures, len(people), sum(map(sum, taken.values())), whole, medians)


def _outputs(
    session: Session, entries: Sequence[info.Entry], of: Pass, times: list[float]
) -> tuple[np.ndarray, np.ndarray]:
    """The outputs of a batch of a pass, copied; its seconds are added to ``times``."""
    files = [entry.path for entry in entries]
    fill(session.sources[0], files, of.dtype)
    seen.check(of.stamps, files, "input")
    session.launch(0)
    times.append(session.wait(0).execute)
    first, second = session.results[0]
    return first.copy(), second.copy()


def _decoded(
    image: coco.Image,
    plan: Plan,
    outputs: list[tuple[np.ndarray, np.ndarray]],
    options: Options,
    name: str,
    category: int,
) -> list[dict[str, Any]]:
    try:
        keypoints, scores = decode.decode_image(plan, image.width, image.height, [outputs], options)
    except ValueError as e:
        if all(np.isfinite(array).all() for pair in outputs for array in pair):
            raise
        raise UserError(
            f"{name}: outputs of image {image.index} are NaN or infinite; check the model's precision"
        ) from e
    return coco_results.entries(image.image_id, keypoints, scores, category=category)
