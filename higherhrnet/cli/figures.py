"""The last lines of a command: how many people, over how many images, and the ten figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from higherhrnet.artifacts import claim
from higherhrnet.artifacts.work import PeopleWork
from higherhrnet.dataset import coco, evaluation
from higherhrnet.stages import postprocess


def say(
    dataset: coco.Dataset,
    images: Sequence[coco.Image],
    results: Path,
    arch: str,
    *,
    of: str = "",
    evaluated: bool = True,
) -> None:
    """Print what a results file holds for ``images``, and its figures over those that were not left out.

    ``of`` follows the number of images, ' of 3 shards' for example; without ``evaluated`` no figures are made.
    """
    made = claim.read(results, PeopleWork)
    left_out = set(made.facts.left_out if made else ())
    ids = [image.image_id for image in images if image.index not in left_out]
    people, figures = postprocess.evaluate(dataset, results, ids, coco.COCO if evaluated else None)
    print(f"=> {people} people in {len(ids)} images{of}, {results}")
    if len(ids) < len(dataset.images):
        print(f"=> the figures are over {len(ids)} of {len(dataset.images)} images")
    if left_out:
        print(f"=> {len(left_out)} bad images were left out (--skip_bad)")
    if made is not None and (calibrated_on := set(made.facts.calibrated_on).intersection(i.index for i in images)):
        print(on_calibration_images(len(calibrated_on)))
    print("=> no figures (--no_eval)" if figures is None else evaluation.table(figures, arch))


def on_calibration_images(count: int) -> str:
    """What must stand beside figures of a network in INT8 over images that it was calibrated on."""
    return f"=> the network was calibrated on {count} of these images: the figures flatter it"
