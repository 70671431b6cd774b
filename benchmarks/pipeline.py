"""Time preprocessing, inference and the postprocessing stage against the bare cost of their parts.

    python3 -m benchmarks.pipeline [--root COCO --split val2017] [--cfg F]

Every ratio is of medians measured alternately in this run, so that a noisy machine slows both sides. Without --root
the images are generated scenes. The network is the config's, the demo's by default, with seeded weights: its speed does
not depend on them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from demo import scenes
from demo.synthesis import synthesise
from higherhrnet.artifacts import dumps, info, inputs
from higherhrnet.backends.base import Work
from higherhrnet.backends.onnxruntime import OnnxRuntime
from higherhrnet.config import loader
from higherhrnet.dataset import coco
from higherhrnet.image import geometry, reader, transform
from higherhrnet.model import architecture, export, network
from higherhrnet.model.ort import onnxruntime

ROOT = Path(__file__).resolve().parent.parent
DEMO_CONFIG = ROOT / "experiments/demo/w16_512.yaml"


def alternate(rounds: int, *programs: Callable[[], object]) -> list[float]:
    """Median seconds of each program, run in turn ``rounds`` times after one run of each that does not count."""
    seconds: list[list[float]] = [[] for _ in programs]
    for round_ in range(rounds + 1):
        for program, taken in zip(programs, seconds, strict=True):
            start = time.perf_counter()
            program()
            if round_:
                taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in seconds]


def repeat_dataset(root: str, split: str, target: Path, times: int) -> Path:
    """A data set that lists the images and people of another ``times`` times, under ids of their own."""
    source = coco.Location(root, split).annotations
    content = json.loads(source.read_text())
    images: list[dict] = []
    annotations: list[dict] = []
    step = 10 ** len(str(max(image["id"] for image in content["images"])))
    for i in range(times):
        images += [{**image, "id": image["id"] + i * step} for image in content["images"]]
        for annotation in content["annotations"]:
            image_id = annotation["image_id"] + i * step
            annotations.append({**annotation, "id": len(annotations) + 1, "image_id": image_id})
    (target / "annotations").mkdir(parents=True)
    (target / "images").symlink_to(Path(root).resolve() / "images")
    coco.Location(str(target), split).annotations.write_text(
        json.dumps({**content, "images": images, "annotations": annotations})
    )
    return target


def seconds(script: str, *arguments: object, cwd: Path) -> float:
    """Wall time of a script, from its start to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, str(ROOT / script), *map(str, arguments)], cwd=cwd, check=True, capture_output=True)
    return time.perf_counter() - start


def slope(run: Callable[[int], float], few: int, many: int, rounds: int) -> tuple[float, float]:
    """Start-up seconds and seconds an image of a program, from alternate runs over ``few`` and ``many`` images."""
    short, long = [], []
    for _ in range(rounds):
        short.append(run(few))
        long.append(run(many))
    each = (statistics.median(long) - statistics.median(short)) / (many - few)
    return statistics.median(short) - few * each, each


def measure_preprocess(root: str, split: str, work: Path, rounds: int) -> dict[str, float]:
    """The script with one and two workers, start-up taken off, against its parts; in ms an image."""
    images = coco.load(coco.Location(root, split).annotations).images
    cv2.setNumThreads(1)
    grids = [geometry.fit(image.width, image.height, 512) for image in images]
    files = [coco.Location(root, split).picture(image) for image in images]
    pixels = [reader.read_image(file) for file in files]
    warped = [transform.warp(image, grid) for image, grid in zip(pixels, grids, strict=True)]
    tensors = [transform.normalise(image) for image in warped]

    def each(function: Callable[[int], object]) -> Callable[[], None]:
        def program() -> None:
            for i in range(len(images)):
                function(i)  # the result is dropped at once, as in the stage

        return program

    def write(i: int) -> None:
        for name in ("plain", "flip"):
            with (work / f"{name}{i}").open("wb", buffering=0) as file:
                file.write(memoryview(tensors[i].data).cast("B"))

    parts = {
        "decode JPEG": each(lambda i: reader.read_image(files[i])),
        "warp": each(lambda i: transform.warp(pixels[i], grids[i])),
        "normalise": each(lambda i: transform.normalise(warped[i])),
        "write": each(write),
    }
    costs = alternate(rounds, *parts.values())
    scale = 1000 / len(images)
    result = {name: cost * scale for name, cost in zip(parts, costs, strict=True)}
    result["sum of parts"] = sum(costs) * scale

    # Over one data set's length, as the parts: a longer run meets the disk's own limit instead of the program's.
    trees = work / "bins", work / "bins_flip"

    def run(workers: int) -> Callable[[int], float]:
        def program(count: int) -> float:
            for tree in trees:
                shutil.rmtree(tree, ignore_errors=True)
            where = ("--output", trees[0], "--output_flip", trees[1], "--workers", workers, "--limit", count)
            return seconds("HigherHRNet_preprocess.py", *where, "DATASET.ROOT", root, "DATASET.TEST", split, cwd=work)

        return program

    for workers in (1, 2):
        start, per_image = slope(run(workers), 4, len(images), rounds)
        result[f"script, {workers} workers"] = per_image * 1000
        result[f"  its start-up, ms, {workers} workers"] = start * 1000
    for tree in trees:
        shutil.rmtree(tree)
    result["ratio to parts, 1 worker"] = result["script, 1 workers"] / result["sum of parts"]
    result["gain of the second worker"] = result["script, 1 workers"] / result["script, 2 workers"]
    return result


def measure_inference(model: Path, work: Path, rounds: int, shape: tuple[int, int] = (512, 704)) -> dict[str, float]:
    """The onnxruntime backend, dumps included, against the bare session.run, in ms an image."""
    rng = np.random.default_rng(0)
    entries = []
    for index in range(6):
        path = inputs.path(work / "infer", shape, index)
        path.parent.mkdir(parents=True, exist_ok=True)
        rng.standard_normal((3, *shape), dtype=np.float32).tofile(path)
        entries.append(info.Entry(path, width=shape[1], height=shape[0]))
    tensors = [np.fromfile(entry.path, np.float32).reshape(1, 3, *shape) for entry in entries]
    (work / "dumps").mkdir()
    backend = OnnxRuntime(model, batch=1)
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    job = Work(shape, entries, work / "dumps")
    # The backend runs its first image once more, to plan its memory: so does the bare loop.
    bare, ours = alternate(
        rounds,
        lambda: [session.run(None, {"input": tensor}) for tensor in (tensors[0], *tensors)],
        lambda: backend.run(job),
    )
    scale = 1000 / (len(entries) + 1)
    return {"bare session.run": bare * scale, "backend with dumps": ours * scale, "ratio": ours / bare}


def measure_postprocess(root: str, split: str, work: Path, rounds: int) -> dict[str, float]:
    """The script over synthesised dumps in the page cache, two workers; evaluation included."""
    times = 8
    data = repeat_dataset(root, split, work / "many", times)
    few = len(coco.load(coco.Location(root, split).annotations).images)
    dataset = coco.load(coco.Location(str(data), split).annotations)
    people: dict[int, list[np.ndarray]] = {}
    for annotation in json.loads(dataset.annotations.read_text())["annotations"]:
        if annotation["num_keypoints"]:
            people.setdefault(annotation["image_id"], []).append(
                np.array(annotation["keypoints"], float).reshape(17, 3)
            )
    rng = np.random.default_rng(0)
    sets = {count: (work / f"plain{count}", work / f"flip{count}") for count in (few, times * few)}
    for directory in sum(sets.values(), ()):
        directory.mkdir()
    for image in dataset.images[:few]:
        grid = geometry.fit(image.width, image.height, 512)
        passes = synthesise(people.get(image.image_id, []), grid, rng)
        for k, outputs in enumerate(passes):
            for file, array in zip(dumps.BENCHMARK.paths(sets[few][k], image.index), outputs, strict=True):
                array.tofile(file)
            for i in range(times):
                copies = dumps.BENCHMARK.paths(sets[times * few][k], image.index + i * few)
                originals = dumps.BENCHMARK.paths(sets[few][k], image.index)
                for copy, original in zip(copies, originals, strict=True):
                    copy.hardlink_to(original)

    def run(count: int) -> float:
        directories = ("--dump_dir", sets[count][0], "--dump_dir_flip", sets[count][1], "--workers", 2)
        return seconds(
            "HigherHRNet_postprocess.py", *directories, "DATASET.ROOT", data, "DATASET.TEST", split, cwd=work
        )

    start, per_image = slope(run, few, times * few, rounds)
    return {"ms an image": per_image * 1000, "images/s after start-up": 1 / per_image, "start-up, s": start}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="COCO layout; generated scenes without it")
    parser.add_argument("--split", default="val2017")
    parser.add_argument("--cfg", type=Path, default=DEMO_CONFIG, help="of the network that inference runs")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args(argv)

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        root = str(Path(args.root).resolve()) if args.root else None
        if root is None:
            root = str(work / "coco")
            scenes.main(["--output", root, "--images", "40", "--seed", "1"])
        config = loader.load(args.cfg)
        torch.manual_seed(0)
        net = network.HigherHRNet(architecture.Architecture.from_extra(config.extra, config.heads))
        model = export.export(net, work / "model.onnx", batch=1).path
        for title, figures in (
            ("preprocess, ms an image", measure_preprocess(root, args.split, work, args.rounds)),
            (f"onnxruntime backend, {args.cfg.stem}, ms an image", measure_inference(model, work, args.rounds)),
            ("postprocess script, 2 workers", measure_postprocess(root, args.split, work, args.rounds)),
        ):
            print(f"\n{title}")
            for name, value in figures.items():
                print(f"  {name:<28}{value:10.2f}")


if __name__ == "__main__":
    main()
