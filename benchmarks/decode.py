"""Measure decode: milliseconds an image, against its clear version and, where at hand, the official code.

    python3 -m benchmarks.decode --reference ../HigherHRNet-Human-Pose-Estimation

All decode the same synthesised network outputs in this one process, on one thread, taking turns image by image; times
are CPU time, so other work on the machine disturbs them little. Outputs are synthesised from annotated people:
--annotations, else coco_mini beside this repository where it is, else people made from a seed. Cases: ordinary images;
crowds, everybody of five images in one; 1, 5, 15 and 30 people; and shapes from 512x512 to 512x1024.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numba
import numpy as np

from demo.synthesis import Outputs, synthesise
from higherhrnet import decode
from higherhrnet.dataset import joints
from higherhrnet.image import geometry

ROOT = Path(__file__).resolve().parents[1]
COCO_MINI = ROOT.parent / "shared/data/coco_mini/annotations/person_keypoints_val2017.json"
SHORT_SIDE = 512
CASES = ("ordinary", "crowd", "people", "shape")

Decoder = Callable[[Outputs, Outputs], tuple[np.ndarray, np.ndarray]]
"""From both passes' outputs to keypoints [P, 17, 3] and scores [P]."""


@dataclass(frozen=True)
class Scene:
    """An image without pixels: its size and its people, each [17, 3] as COCO annotates."""

    width: int
    height: int
    persons: list[np.ndarray]


@dataclass(frozen=True)
class Measurement:
    """Median milliseconds an image in one case, by decoder, and how often the decoders' people were the same."""

    case: str
    shape: str
    images: int
    people: float
    """Median number of people annotated."""
    milliseconds: dict[str, float]
    ratio: float
    """Of medians, the official code's, or where it was not measured the clear version's, to decode's."""
    no_flip_ratio: float
    """Median over images of the fast decode's time without the mirror image to its time with it."""
    same_people: int
    """Images on which all decoders agree: the same number in the same order, keypoints within 1e-3 px."""


def parser() -> argparse.ArgumentParser:
    """The program's options."""
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--annotations", type=Path, help="COCO keypoint annotations (default: see above)")
    result.add_argument("--reference", type=Path, help="a checkout of the official code (default: not measured)")
    result.add_argument(
        "--cases", nargs="+", choices=CASES, default=CASES, help="what to measure (default: all: %(choices)s)"
    )
    result.add_argument("--images", type=int, default=16, help="ordinary images (default: %(default)s)")
    result.add_argument("--crowds", type=int, default=3, help="crowds (default: %(default)s)")
    result.add_argument(
        "--repeat", type=int, default=7, help="decodes an image, of the fast one (default: %(default)s)"
    )
    result.add_argument("--seed", type=int, default=0, help="of all that is synthesised (default: %(default)s)")
    result.add_argument(
        "--output",
        type=Path,
        default=Path("result/bench"),
        help="folder for decode.json and decode.png (default: %(default)s)",
    )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all cases, print a line each, and leave decode.json and decode.png."""
    options = parser().parse_args(arguments)
    decoders: dict[str, Decoder] = {"decode": _fast, "clear": _clear_decoder()}
    if options.reference:
        decoders["reference"] = _reference_decoder(options.reference)
    else:
        print("no --reference: the clear version, in its place, takes about as long as the official code")
    scenes, source = _load_scenes(options.annotations, options.seed)
    print(f"{len(scenes)} images with people from {source}")
    if not decode.is_compiled():
        print("compiling decode once ...", flush=True)
    decode.compile()

    measurements = []
    for case, case_scenes in _cases(scenes, options):
        if case.split()[0] not in options.cases:
            continue
        measurements.append(_measure(case, case_scenes, decoders, options))
        print(_line(measurements[-1]), flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    report = {
        "arguments": sys.argv[1:] if arguments is None else list(arguments),
        "data": source,
        "cpu": _cpu_name(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "numba": numba.__version__},
        "clock": "CPU time, one thread, median",
        "cases": [asdict(m) for m in measurements],
    }
    (options.output / "decode.json").write_text(json.dumps(report, indent=1) + "\n")
    print(f"written: {options.output / 'decode.json'}")
    if {"people", "shape"} <= set(options.cases):
        _plot(measurements, options.output / "decode.png")
        print(f"written: {options.output / 'decode.png'}")
    return 0


def _no_flip_ratio(outputs: Outputs, flip_outputs: Outputs, rounds: int) -> float:
    """Of medians, taken in turns."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for with_flip, times in seconds.items():
            start = time.process_time()
            decode.decode(outputs, flip_outputs if with_flip else None)
            times.append(time.process_time() - start)
    return statistics.median(seconds[False]) / statistics.median(seconds[True])


def _fast(outputs: Outputs, flip_outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
    people = decode.decode(outputs, flip_outputs)
    return people.keypoints, people.scores


def _import_file(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SystemExit(f"error: {path} is not there")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _clear_decoder() -> Decoder:
    clear = _import_file("reference_decode", ROOT / "tests/support/reference_decode/__init__.py")

    def run(outputs: Outputs, flip_outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
        people = clear.decode(outputs, flip_outputs)
        return people.keypoints, people.scores

    return run


def _reference_decoder(checkout: Path) -> Decoder:
    """The official code's way from a model's outputs to people, with the configuration of W32-512 on COCO."""
    import torch  # noqa: PLC0415  # needed for this decoder only

    torch.set_num_threads(1)
    # inference.py wants one table of the package ``dataset``, whose import takes packages that decoding does not need.
    sys.modules["dataset"] = ModuleType("dataset")
    transforms = ModuleType("dataset.transforms")
    vars(transforms)["FLIP_CONFIG"] = {"COCO": list(joints.COCO.flip)}
    sys.modules["dataset.transforms"] = transforms
    inference = _import_file("reference_inference", checkout / "lib/core/inference.py")
    group = _import_file("reference_group", checkout / "lib/core/group.py")
    cfg = SimpleNamespace(
        DATASET=SimpleNamespace(DATASET="coco_kpt", NUM_JOINTS=17, MAX_NUM_PEOPLE=30, WITH_CENTER=False),
        LOSS=SimpleNamespace(WITH_HEATMAPS_LOSS=(True, True), WITH_AE_LOSS=(True, False)),
        MODEL=SimpleNamespace(TAG_PER_JOINT=True),
        TEST=SimpleNamespace(
            WITH_HEATMAPS=(True, True),
            WITH_AE=(True, False),
            FLIP_TEST=True,
            PROJECT2IMAGE=True,
            SCALE_FACTOR=[1],
            IGNORE_CENTER=True,
            NMS_KERNEL=5,
            NMS_PADDING=2,
            DETECTION_THRESHOLD=0.1,
            TAG_THRESHOLD=1.0,
            USE_DETECTION_VAL=True,
            IGNORE_TOO_MUCH=False,
        ),
    )
    heatmap_parser = group.HeatmapParser(cfg)

    def run(outputs: Outputs, flip_outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
        passes = iter([[torch.from_numpy(a)[None] for a in one_pass] for one_pass in (outputs, flip_outputs)])
        height, width = (2 * side for side in outputs[1].shape[1:])
        with torch.no_grad():
            _, heatmaps, tags = inference.get_multi_stage_outputs(
                cfg, lambda image: next(passes), torch.zeros(1, 1, 1, 1), True, True, (width, height)
            )
            heat, tag_list = inference.aggregate_results(cfg, 1, None, [], heatmaps, tags)
            people, scores = heatmap_parser.parse(heat, torch.cat(tag_list, dim=4))
        return people[0].reshape(-1, 17, people[0].shape[-1] if people[0].size else 3)[:, :, :3], np.array(scores)

    return run


def _load_scenes(annotations: Path | None, seed: int) -> tuple[list[Scene], str]:
    """The scenes with people, and what to call their source."""
    path = annotations or (COCO_MINI if COCO_MINI.is_file() else None)
    if path is None:
        return _make_scenes(seed), f"seed {seed}"
    content = json.loads(path.read_text())
    persons: dict[int, list[np.ndarray]] = {}
    for annotation in content["annotations"]:
        if annotation.get("num_keypoints", 0) > 0:
            keypoints = np.array(annotation["keypoints"], np.float64).reshape(17, 3)
            persons.setdefault(annotation["image_id"], []).append(keypoints)
    scenes = [Scene(i["width"], i["height"], persons[i["id"]]) for i in content["images"] if i["id"] in persons]
    return scenes, path.name if annotations else "coco_mini"


def _make_scenes(seed: int, count: int = 60) -> list[Scene]:
    """People as clouds of keypoints, as many an image and as often half seen as in COCO."""
    rng = np.random.default_rng(seed)
    scenes = []
    for _ in range(count):
        width, height = [(640, 480), (640, 427), (480, 640), (500, 375)][rng.integers(4)]
        persons = []
        for _ in range(min(1 + int(rng.exponential(2)), 13)):
            size = rng.uniform(0.05, 0.4) * height
            center = rng.uniform([0.1 * width, 0.1 * height], [0.9 * width, 0.9 * height])
            seen = 2.0 * (rng.random(17) < 0.65)
            persons.append(np.column_stack((rng.normal(center, [0.4 * size, size], (17, 2)), seen)))
        scenes.append(Scene(width, height, persons))
    return scenes


def _fitted(persons: Sequence[np.ndarray], source: Scene, width: int, height: int) -> list[np.ndarray]:
    return [p * [width / source.width, height / source.height, 1] for p in persons]


def _everybody(scenes: Sequence[Scene], width: int, height: int) -> list[np.ndarray]:
    return [person for scene in scenes for person in _fitted(scene.persons, scene, width, height)]


def _cases(scenes: list[Scene], options: argparse.Namespace) -> Iterator[tuple[str, list[Scene]]]:
    """Every case's name and scenes. Ordinary images are taken evenly from the set, crowds from its fullest images."""
    rng = np.random.default_rng(options.seed)
    chosen = np.linspace(0, len(scenes) - 1, min(options.images, len(scenes))).astype(int)
    yield "ordinary", [scenes[i] for i in chosen]
    fullest = sorted(scenes, key=lambda scene: -len(scene.persons))
    fives = [fullest[5 * i : 5 * i + 5] for i in range(min(options.crowds, len(fullest) // 5))]
    yield "crowd", [Scene(640, 480, _everybody(five, 640, 480)) for five in fives]
    everybody = _everybody(scenes, 640, 427)
    for count in (1, 5, 15, 30):
        picks = [rng.choice(len(everybody), min(count, len(everybody)), replace=False) for _ in range(3)]
        yield f"people {count}", [Scene(640, 427, [everybody[i] for i in pick]) for pick in picks]
    for width, height in ((512, 512), (768, 512), (1024, 512), (512, 1024)):
        picks = [rng.choice(len(everybody), min(3, len(everybody)), replace=False) for _ in range(3)]
        source = Scene(640, 427, [])
        fitted = [_fitted([everybody[i] for i in pick], source, width, height) for pick in picks]
        yield f"shape {height}x{width}", [Scene(width, height, persons) for persons in fitted]


def _measure(
    case: str, scenes: Sequence[Scene], decoders: dict[str, Decoder], options: argparse.Namespace
) -> Measurement:
    times: dict[str, list[float]] = {name: [] for name in decoders}
    same, shapes, no_flip = 0, set(), []
    for number, scene in enumerate(scenes):
        placed = geometry.fit(scene.width, scene.height, SHORT_SIDE)
        shapes.add("{}x{}".format(*placed.shape))
        arrays = synthesise(scene.persons, placed, np.random.default_rng([options.seed, number]))
        results = []
        for name, decoder in decoders.items():
            rounds = options.repeat if name == "decode" else 1
            seconds = []
            for _ in range(rounds):
                start = time.process_time()
                result = decoder(*arrays)
                seconds.append(time.process_time() - start)
            times[name].append(1e3 * statistics.median(seconds))
            results.append(result)
        no_flip.append(_no_flip_ratio(*arrays, options.repeat))
        same += all(_agree(results[0], other) for other in results[1:])
    milliseconds = {name: statistics.median(values) for name, values in times.items()}
    yardstick = milliseconds.get("reference", milliseconds["clear"])
    return Measurement(
        case,
        shapes.pop() if len(shapes) == 1 else f"{len(shapes)} shapes",
        len(scenes),
        statistics.median(len(scene.persons) for scene in scenes),
        {name: round(value, 3) for name, value in milliseconds.items()},
        round(yardstick / milliseconds["decode"], 1),
        round(statistics.median(no_flip), 2),
        same,
    )


def _agree(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> bool:
    return (
        a[0].shape == b[0].shape
        and np.allclose(a[0], b[0], rtol=0, atol=1e-3)
        and np.allclose(a[1], b[1], rtol=0, atol=1e-5)
    )


def _line(m: Measurement) -> str:
    times = ", ".join(f"{name} {value:.2f} ms" for name, value in m.milliseconds.items())
    return (
        f"{m.case:<15} {m.images} images, {m.shape}, {m.people:g} people, the same people in {m.same_people}: "
        f"{times}, ratio {m.ratio:.1f}x, "
        f"without flip {m.no_flip_ratio:.2f} of the time"
    )


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _plot(measurements: Sequence[Measurement], path: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415  # slow to import, and of no use before the measurements are there

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    groups: list[tuple[str, str, Any]] = [
        ("people", "people an image (512x768)", [m for m in measurements if m.case.startswith("people")]),
        ("shape", "network input", [m for m in measurements if m.case.startswith("shape")]),
    ]
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for panel, (prefix, label, cases) in zip(panels, groups, strict=True):
        positions = range(len(cases))
        for name in cases[0].milliseconds:
            panel.plot(positions, [m.milliseconds[name] for m in cases], marker="o", label=name)
        for position, m in zip(positions, cases, strict=True):
            panel.annotate(
                f"{m.ratio:.0f}x", (position, m.milliseconds["decode"]), (0, 8), textcoords="offset points", ha="center"
            )
        panel.set_xticks(list(positions), [m.case.removeprefix(prefix).strip() for m in cases])
        panel.set_yscale("log")
        panel.set_xlabel(label)
        panel.margins(x=0.1, y=0.15)
        panel.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel("ms an image, one thread (median)")
    panels[1].legend(loc="center right")
    yardstick = "reference" if "reference" in measurements[0].milliseconds else "clear version"
    overall = [m for m in measurements if m.case in ("ordinary", "crowd")]
    figure.suptitle(", ".join([f"ratios to the {yardstick}"] + [f"{m.case} {m.ratio:.0f}x" for m in overall]))
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
