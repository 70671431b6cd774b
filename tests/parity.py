#!/usr/bin/env python3
"""Compare this project with the official code, stage by stage, on the same images, weights and outputs.

    python3 -m tests.parity --reference ../HigherHRNet-Human-Pose-Estimation
    python3 -m tests.parity --reference DIR --root data/coco --limit 5

In DIR, a checkout of HRNet/HigherHRNet-Human-Pose-Estimation at aa23881, run: patch -p1 < ../HigherHRNet.patch.
It needs what requirements-dev.txt lists. Prints one table, and stops with status 1 at the first stage whose difference
is beyond its tolerance.

Inputs are those of the data set's images at all scales. Outputs are synthesised from their annotated people, and the
demo network's on generated scenes, where it finds people. What each row compares: inputs, every bit of the plain and
the mirrored ones; network, outputs relative to the largest value; maps, fused heat and tags; people, their number,
order, keypoints in image pixels; values and scores; results, the entries of the results file; figures, the ten.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from demo import scenes
from demo.synthesis import synthesise
from higherhrnet.artifacts.dumps import Heads
from higherhrnet.config import loader
from higherhrnet.config.plan import Plan
from higherhrnet.config.values import Config
from higherhrnet.dataset import coco, coco_results, evaluation
from higherhrnet.decode.scales import decode_image, whole_maps, without_center
from higherhrnet.image import geometry, reader, transform
from higherhrnet.model import architecture, checkpoint, network
from tests.support.official import Outputs, Reference, ReferenceError

ROOT = Path(__file__).resolve().parent.parent
COCO_MINI = ROOT.parent / "shared/data/coco_mini"
W32_512 = ROOT / "experiments/coco/higher_hrnet/w32_512_adam_lr1e-3.yaml"
DEMO = ROOT / "experiments/demo/w16_512.yaml"
DEMO_WEIGHTS = ROOT / "demo/weights/w16_512.pth"

MODES = {
    "single scale": [],
    "no flip": ["TEST.FLIP_TEST", "False"],
    "no refine": ["TEST.REFINE", "False"],
    "multi-scale": ["TEST.SCALE_FACTOR", "[0.5, 1, 2]"],
    "not projected": ["TEST.PROJECT2IMAGE", "False"],
    "multi-scale, not projected": ["TEST.SCALE_FACTOR", "[0.5, 1, 2]", "TEST.PROJECT2IMAGE", "False"],
    "center left out": ["DATASET.WITH_CENTER", "True"],
    "center": ["DATASET.WITH_CENTER", "True", "TEST.IGNORE_CENTER", "False"],
    "one tag map": ["MODEL.TAG_PER_JOINT", "False"],
    "no adjust, no values": ["TEST.ADJUST", "False", "TEST.USE_DETECTION_VAL", "False"],
    "few people": ["DATASET.MAX_NUM_PEOPLE", "3", "TEST.IGNORE_TOO_MUCH", "True"],
    "other thresholds": [
        *("TEST.DETECTION_THRESHOLD", "0.3", "TEST.TAG_THRESHOLD", "0.5"),
        *("TEST.NMS_KERNEL", "9", "TEST.NMS_PADDING", "4"),
    ],
}

TOLERANCES = {
    "inputs": 0.0,
    "network": 1e-4,  # relative: two ways through the same float32 sums
    "maps": 0.0,
    "people": 1e-3,  # pixels
    "values": 1e-5,
    "results": 1e-3,
    "figures": 1e-6,
}


class ParityError(Exception):
    """A stage differs beyond its tolerance."""


@dataclass
class Table:
    """The rows so far; printed as they come."""

    rows: list[tuple[str, str, str, float]] = field(default_factory=list)

    def add(self, stage: str, case: str, compared: str, difference: float) -> None:
        """Print a row. Raises ParityError where the difference is beyond the stage's tolerance, or NaN."""
        if not self.rows:
            print(f"{'stage':<9} {'case':<34} {'compared':<34} {'difference':>10} {'tolerance':>10}")
        self.rows.append((stage, case, compared, difference))
        tolerance = TOLERANCES[stage]
        print(f"{stage:<9} {case:<34} {compared:<34} {difference:>10.3g} {tolerance:>10.3g}", flush=True)
        if not difference <= tolerance:
            raise ParityError(f"{stage}, {case}: the largest difference is {difference:.6g}, more than {tolerance:g}")


@dataclass(frozen=True)
class Data:
    """Images and annotations in COCO layout."""

    root: Path
    images: tuple[coco.Image, ...]
    persons: dict[int, list[np.ndarray]]
    """[17, 3] each, by image id."""

    def file(self, image: coco.Image) -> Path:
        """Where an image lies."""
        return coco.Location(str(self.root), "val2017").picture(image)

    @property
    def dataset(self) -> coco.Dataset:
        """As the stages load it."""
        return coco.load(coco.Location(str(self.root), "val2017").annotations)


def parser() -> argparse.ArgumentParser:
    """The program's options."""
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--reference", type=Path, required=True, metavar="DIR", help="patched checkout")
    result.add_argument("--root", type=Path, default=COCO_MINI, help="data set in COCO layout (default: %(default)s)")
    result.add_argument("--limit", type=int, metavar="N", help="only the first N images with people (default: all)")
    result.add_argument("--scenes", type=int, default=4, metavar="N", help="generated scenes (default: %(default)s)")
    result.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES), help="default: all: %(choices)s")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare all stages; return the exit status."""
    options = parser().parse_args(arguments)
    table = Table()
    with tempfile.TemporaryDirectory() as folder:
        try:
            with Reference(options.reference, Path(folder)) as reference:
                run(reference, table, options.root, limit=options.limit, drawn=options.scenes, modes=options.modes)
        except (ParityError, ReferenceError) as e:
            print(f"error: {e}", file=sys.stderr)
            return 1
    print(f"{len(table.rows)} comparisons, all within tolerance")
    return 0


def run(reference: Reference, table: Table, root: Path, *, limit: int | None, drawn: int, modes: Sequence[str]) -> None:
    """Compare everything. Raises ParityError at the first stage beyond its tolerance."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = subset(root, Path(folder) / "images", limit)
        generated = _draw(Path(folder) / "scenes", drawn)
        for mode in ("single scale", "multi-scale"):
            if mode in modes:
                _compare_inputs(reference, table, data, mode)
        _compare_w32(reference, table, data)
        for mode in modes:
            _compare_people(reference, table, data, mode, W32_512, None)
        for mode in modes:
            if mode in {"single scale", "no flip", "no refine", "multi-scale"}:
                _compare_people(reference, table, generated, mode, DEMO, DEMO_WEIGHTS)


def subset(root: Path, target: Path, limit: int | None) -> Data:
    """The first ``limit`` images that have people (all images without a limit), as a data set of their own."""
    annotations = json.loads(coco.Location(str(root), "val2017").annotations.read_text())
    persons: dict[int, list[np.ndarray]] = {}
    for entry in annotations["annotations"]:
        if entry["num_keypoints"]:
            persons.setdefault(entry["image_id"], []).append(np.array(entry["keypoints"], float).reshape(-1, 3))
    images = annotations["images"]
    if limit is not None:
        images = [image for image in images if image["id"] in persons][:limit]
    ids = {image["id"] for image in images}
    annotations["images"] = images
    annotations["annotations"] = [entry for entry in annotations["annotations"] if entry["image_id"] in ids]
    (target / "annotations").mkdir(parents=True)
    (target / "images").mkdir()
    (target / "images/val2017").symlink_to((root / "images/val2017").resolve())
    path = coco.Location(str(target), "val2017").annotations
    path.write_text(json.dumps(annotations))
    return Data(target, coco.load(path).images, persons)


def _draw(target: Path, count: int) -> Data:
    scenes.write(target, images=count, seed=11)
    return Data(target, coco.load(coco.Location(str(target), "val2017").annotations).images, {})


def _configure(reference: Reference, path: Path, data: Data, mode: str) -> Config:
    """The same configuration on both sides, long images whole."""
    overrides = ["DATASET.ROOT", str(data.root), *MODES[mode]]
    reference.configure(path, overrides)
    config = loader.load(path, overrides)
    return replace(config, plan=replace(config.plan, limited=False))


def _inputs(plan: Plan, data: Data, image: coco.Image) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    pixels = reader.read_image(data.file(image))
    for factor in plan.factors:
        tensor = transform.normalise(transform.warp(pixels, geometry.of_plan(image.width, image.height, plan, factor)))
        yield tensor, transform.mirror(tensor)


def _differing(a: np.ndarray, b: np.ndarray) -> float:
    """The share of values whose bytes differ; 1 for another shape."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return 1.0
    return float(np.mean(a.view(np.uint32) != b.view(np.uint32)))


def _compare_inputs(reference: Reference, table: Table, data: Data, mode: str) -> None:
    plan = _configure(reference, W32_512, data, mode).plan
    worst, count = 0.0, 0
    for image in data.images:
        for ours, theirs in zip(
            _inputs(plan, data, image), reference.inputs(data.file(image), len(plan.factors)), strict=True
        ):
            for a, b in zip(ours, theirs, strict=True):
                worst = max(worst, _differing(a, b))
                count += 1
    table.add("inputs", mode, f"{count} inputs, share of values", worst)


def _network(config: Config) -> network.HigherHRNet:
    return network.HigherHRNet(architecture.Architecture.from_extra(config.extra, config.heads)).eval()


def _forward(net: network.HigherHRNet, inputs: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[list[Outputs]]:
    with torch.no_grad():
        return [[_arrays(net(torch.from_numpy(tensor)[None])) for tensor in pair] for pair in inputs]


def _arrays(outputs: tuple[torch.Tensor, torch.Tensor]) -> Outputs:
    return outputs[0][0].numpy(), outputs[1][0].numpy()


def _relative(ours: Sequence[Sequence[Outputs]], theirs: Sequence[Sequence[Outputs]]) -> float:
    pairs = [
        (a, b)
        for x, y in zip(ours, theirs, strict=True)
        for p, q in zip(x, y, strict=True)
        for a, b in zip(p, q, strict=True)
    ]
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def _compare_w32(reference: Reference, table: Table, data: Data) -> None:
    """The full-size network with random weights, as large as trained ones, on one image."""
    config = _configure(reference, W32_512, data, "single scale")
    torch.manual_seed(0)
    net = _network(config)
    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        torch.save(net.state_dict(), file.name)
        reference.load(Path(file.name))
    image = data.images[0]
    reference.inputs(data.file(image), 1)
    difference = _relative(_forward(net, list(_inputs(config.plan, data, image))), reference.forward(1))
    table.add("network", "W32-512, random weights", "1 image, both passes, relative", difference)


def _compare_people(
    reference: Reference, table: Table, data: Data, mode: str, path: Path, weights: Path | None
) -> None:
    """Maps, people, results and figures of a mode; without weights, outputs are synthesised."""
    config = _configure(reference, path, data, mode)
    plan, decode = config.plan, config.options
    net: network.HigherHRNet | None = None
    if weights is not None:
        net = _network(config)
        checkpoint.load(weights, net)
        reference.load(weights)
    case = f"{mode}, {'demo network' if weights else 'synthesised'}"
    worst = dict.fromkeys(("network", "maps", "people", "values"), 0.0)
    entries: list[dict] = []
    for image in data.images:
        if net is None:
            outputs = _synthesise(plan, data, image, config.heads)
        else:
            reference.inputs(data.file(image), len(plan.factors))
            outputs = reference.forward(len(plan.factors))
            worst["network"] = max(
                worst["network"], _relative(_forward(net, list(_inputs(plan, data, image))), outputs)
            )
        if not plan.flip:
            outputs = [passes[:1] for passes in outputs]
        heat, tags, people = reference.people(data.file(image), outputs)
        size = (heat.shape[1], heat.shape[2]) if plan.project else None
        kept = [[without_center(each, len(decode.flip)) for each in passes] for passes in outputs]
        our_heat, our_tags = whole_maps(kept, size, plan.tags_of, decode.flip)
        worst["maps"] = max(worst["maps"], _differing(our_heat, heat), _differing(np.stack(our_tags, axis=-1), tags))
        keypoints, scores = decode_image(plan, image.width, image.height, outputs, decode)
        if len(keypoints) != len(people):
            raise ParityError(f"people, {case}, {image.file_name}: {len(keypoints)} of ours, {len(people)} of theirs")
        if people:
            theirs = np.stack(people)[:, :, :3]
            worst["people"] = max(worst["people"], float(np.abs(keypoints[:, :, :2] - theirs[:, :, :2]).max()))
            difference = max(
                np.abs(keypoints[:, :, 2] - theirs[:, :, 2]).max(), np.abs(scores - reference.scores()).max()
            )
            worst["values"] = max(worst["values"], float(difference))
        entries += coco_results.entries(image.image_id, keypoints[:, : config.result_joints], scores)
    count = len(data.images)
    if weights is not None:
        table.add("network", case, f"{count} images, relative", worst["network"])
    table.add("maps", case, f"{count} images, share of values", worst["maps"])
    table.add("people", case, f"{len(entries)} people, pixels", worst["people"])
    table.add("values", case, f"{len(entries)} people, values, scores", worst["values"])
    _compare_results(reference, table, data, case, entries)


def _compare_results(reference: Reference, table: Table, data: Data, case: str, entries: list[dict]) -> None:
    figures, theirs = reference.evaluate()
    if [entry["image_id"] for entry in entries] != [entry["image_id"] for entry in theirs]:
        raise ParityError(f"results, {case}: the entries are of other images, or in another order")
    worst = 0.0
    for entry, other in zip(entries, theirs, strict=True):
        for key in ("category_id", "keypoints", "score", "bbox"):
            worst = max(worst, float(np.abs(np.array(entry[key]) - np.array(other[key])).max()))
    table.add("results", case, f"{len(entries)} entries", worst)
    path = data.root / "results.json"
    coco_results.write(path, entries)
    ours = evaluation.evaluate(data.dataset, path, [image.image_id for image in data.images])
    difference = max(abs(ours[name] - figures[name]) for name in evaluation.STATISTICS)
    table.add("figures", case, f"AP {ours['AP']:.3f}", difference)


def _synthesise(plan: Plan, data: Data, image: coco.Image, heads: Heads) -> list[list[Outputs]]:
    outputs = []
    for factor in plan.factors:
        rng = np.random.default_rng(image.image_id)  # the same tags at every scale
        grid = geometry.of_plan(image.width, image.height, plan, factor)
        passes = synthesise(data.persons.get(image.image_id, []), grid, rng)
        outputs.append([_with_heads(*each, heads) for each in passes])
    return outputs


def _with_heads(output1: np.ndarray, output2: np.ndarray, heads: Heads) -> Outputs:
    """Outputs of COCO's 17 joints for a network of other maps: a center like the first joint, one tag map."""
    heat, tags = np.split(output1, 2)
    if heads.joints == len(heat) + 1:
        heat, tags, output2 = (np.concatenate((maps, maps[:1] * np.float32(0.9))) for maps in (heat, tags, output2))
    if heads.tags == 1:
        strongest = np.abs(tags).argmax(axis=0)[None]
        tags = np.take_along_axis(tags, strongest, axis=0)
    return np.concatenate((heat, tags)), output2


if __name__ == "__main__":
    sys.exit(main())
