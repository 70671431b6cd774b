"""The last lines of a command: how many people, over how many images, and the ten figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from higherhrnet.artifacts.claim import Record
from higherhrnet.artifacts.work import PeopleWork
from higherhrnet.dataset import coco, evaluation
from higherhrnet.dataset.ground_truth import EvaluationProtocol
from higherhrnet.stages import postprocess, results_file


def say(
    dataset: coco.Dataset,
    results: Path,
    wanted: Record[PeopleWork],
    arch: str,
    *,
    protocol: EvaluationProtocol | None,
    of: str = "",
) -> None:
    """Print what a results file holds, and its figures over the images that its record says.

    The file is of the work ``wanted``, or the end is a UserError: somebody has replaced it since.

    ``of`` follows the number of images, ' of 3 shards' for example; without ``protocol`` no figures are made.
    """
    made = results_file.record(results, wanted)
    images = results_file.images_of(made, dataset)
    ids = [image.image_id for image in images]
    count, figures = postprocess.evaluate(dataset, results, ids, protocol, made)
    print(f"=> {count} people in {len(ids)} images{of}, {results}")
    if len(ids) < len(dataset.images):
        print(f"=> the figures are over {len(ids)} of {len(dataset.images)} images")
    if left_out := made.facts.left_out:
        print(f"=> {len(left_out)} bad images were left out (--skip_bad)")
    if calibrated_on := set(made.facts.calibrated_on).intersection(i.index for i in images):
        print(on_calibration_images(len(calibrated_on)))
    if protocol is None or figures is None:
        print("=> no figures (--no_eval)")
        return
    for line in of_annotations(dataset, protocol, figures):
        print(line)
    print(evaluation.table(figures, arch))


def of_annotations(dataset: coco.Dataset, protocol: EvaluationProtocol, figures: dict[str, float]) -> Iterator[str]:
    """What a reader of the figures should know of the annotations that they are over."""
    for remark in evaluation.remarks(dataset, protocol):
        yield f"=> {remark}"
    if missing := evaluation.undefined(figures):
        yield f"=> {missing}"


def on_calibration_images(count: int) -> str:
    """What must stand beside figures of a network in INT8 over images that it was calibrated on."""
    return f"=> the network was calibrated on {count} of these images: the figures flatter it"
