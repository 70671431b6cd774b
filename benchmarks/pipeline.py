"""Time preprocessing, inference and the postprocessing stage against the bare cost of their parts.

    python3 -m benchmarks.pipeline [--root COCO --split val2017] [--weights F --cfg F]

Every ratio is of medians measured alternately in this run, so that a noisy machine slows both sides. Without --root
the images are generated scenes; without --weights the network is a seeded one of the demo's size.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch

from demo import scenes
from higherhrnet import coco, config, geometry, network, onnx_export, preprocess
from higherhrnet.backends import Work
from higherhrnet.backends.onnxruntime import OnnxRuntime
from higherhrnet.files import dumps, info, inputs
from higherhrnet.stages import preprocess as stage
from higherhrnet.synthesis import synthesise

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


def measure_preprocess(root: str, split: str, work: Path, rounds: int) -> dict[str, float]:
    """The stage with one and two workers against its parts, in ms an image."""
    dataset = coco.load(coco.annotation_file(root, split))
    images = dataset.images
    cv2.setNumThreads(1)
    grids = [geometry.fit(image.width, image.height, 512) for image in images]
    files = [coco.image_file(root, split, image) for image in images]
    pixels = [preprocess.read_image(file) for file in files]
    warped = [preprocess.warp(image, grid) for image, grid in zip(pixels, grids, strict=True)]
    tensors = [preprocess.normalise(image) for image in warped[:8]]
    target = work / "part.bin"

    def write() -> None:
        for i in range(len(images)):
            for _ in range(2):  # plain and flip
                with target.open("wb", buffering=0) as file:
                    file.write(memoryview(tensors[i % 8].data).cast("B"))

    parts: dict[str, Callable[[], object]] = {
        "decode JPEG": lambda: [preprocess.read_image(file) for file in files],
        "warp": lambda: [preprocess.warp(image, grid) for image, grid in zip(pixels, grids, strict=True)],
        "normalise": lambda: [preprocess.normalise(image) for image in warped],
        "mirror": lambda: [preprocess.mirror(tensors[i % 8]) for i in range(len(images))],
        "write": write,
    }

    def whole(workers: int) -> Callable[[], object]:
        return lambda: stage.run(
            dataset,
            root=root,
            split=split,
            short_side=512,
            output=work / "bins",
            output_flip=work / "bins_flip",
            processes=workers,
            overwrite=True,
        )

    *costs, one, two = alternate(rounds, *parts.values(), whole(1), whole(2))
    scale = 1000 / len(images)
    result = {name: cost * scale for name, cost in zip(parts, costs, strict=True)}
    result |= {"sum of parts": sum(costs) * scale, "stage, 1 worker": one * scale, "stage, 2 workers": two * scale}
    result |= {"ratio to parts": one / sum(costs), "gain of the second worker": one / two}
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


def measure_postprocess(root: str, split: str, work: Path) -> dict[str, float]:
    """The script over synthesised dumps of the annotated images, two workers, from a warm page cache."""
    dataset = coco.load(coco.annotation_file(root, split))
    people: dict[int, list[np.ndarray]] = {}
    for annotation in json.loads(dataset.annotations.read_text())["annotations"]:
        if annotation["num_keypoints"]:
            people.setdefault(annotation["image_id"], []).append(
                np.array(annotation["keypoints"], float).reshape(17, 3)
            )
    directories = work / "synthetic", work / "synthetic_flip"
    rng = np.random.default_rng(0)
    for directory in directories:
        directory.mkdir()
    for image in dataset.images:
        grid = geometry.fit(image.width, image.height, 512)
        passes = synthesise(people.get(image.image_id, []), grid, rng)
        for directory, outputs in zip(directories, passes, strict=True):
            for file, array in zip(dumps.BENCHMARK.paths(directory, image.index), outputs, strict=True):
                array.tofile(file)
    command = [sys.executable, str(ROOT / "HigherHRNet_postprocess.py")]
    command += ["--dump_dir", str(directories[0]), "--dump_dir_flip", str(directories[1]), "--workers", "2"]
    command += ["DATASET.ROOT", root, "DATASET.TEST", split]
    lines = []
    for _ in range(3):
        done = subprocess.run(command, cwd=work, check=True, capture_output=True, text=True)
        lines.append(done.stdout.splitlines()[0])
    return {"images": float(len(dataset.images))} | {f"run {i + 1}: {line}": 0.0 for i, line in enumerate(lines)}


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
        root = args.root
        if root is None:
            root = str(work / "coco")
            scenes.main(["--output", root, "--images", "40", "--seed", "1"])
        cfg = config.load(args.cfg)
        torch.manual_seed(0)
        net = network.HigherHRNet(network.Architecture.from_extra(cfg.MODEL.EXTRA, joints=17))
        model = onnx_export.export(net, work / "model.onnx", batch=1).path
        for title, figures in (
            ("preprocess, ms an image", measure_preprocess(root, args.split, work, args.rounds)),
            (f"onnxruntime backend, {args.cfg.stem}, ms an image", measure_inference(model, work, args.rounds)),
            ("postprocess stage", measure_postprocess(root, args.split, work)),
        ):
            print(f"\n{title}")
            for name, value in figures.items():
                print(f"  {name:<28}{value:10.2f}")


if __name__ == "__main__":
    main()
