"""Time a re-run that finds 5,000 images done, from a warm and a cold page cache.

    python3 -m benchmarks.resume [--images 5000] [--runs 3] [--against CHECKOUT]

Makes a data set of small pictures and a network of a few channels with random weights, runs the chain once, and then
the same commands again, each as a process of its own; with another checkout (from 0.1.0 on), in turn with the same
there. Cold: the system is asked to forget every file of the data set, the inputs and the results (posix_fadvise), which
needs no rights and which it may ignore.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "tests/data/tiny.yaml"
SIDE = 128
CORES = len(os.sched_getaffinity(0))


def make(root: Path, images: int) -> None:
    """A data set of COCO's layout: noise of one size, different in every picture, and nobody in it but one."""
    rng = np.random.default_rng(0)
    (root / "annotations").mkdir(parents=True)
    (root / "images/val2017").mkdir(parents=True)
    rows = []
    for number in range(images):
        name = f"{number + 1:012d}.jpg"
        cv2.imwrite(str(root / "images/val2017" / name), rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8))
        rows.append({"id": number + 1, "file_name": name, "width": SIDE, "height": SIDE})
    person = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "num_keypoints": 17, "segmentation": []}
    person |= {"keypoints": [50.0, 50.0, 2] * 17, "bbox": [20.0, 20.0, 80.0, 80.0], "area": 6400.0}
    content = {"images": rows, "annotations": [person], "categories": [{"id": 1, "name": "person"}]}
    (root / "annotations/person_keypoints_val2017.json").write_text(json.dumps(content))


def commands(work: Path, data: Path, model: Path) -> dict[str, list[str]]:
    """What is run, and run again."""
    config = ["--cfg", str(CONFIG), "DATASET.ROOT", str(data)]
    trees = ["--output", str(work / "bins"), "--output_flip", str(work / "flip"), "--workers", str(CORES)]
    chain = ["--backend", "onnxruntime", "--model", str(model), "--workers", str(CORES)]
    return {
        "preprocess": ["HigherHRNet_preprocess.py", *trees, *config],
        "run": ["-m", "higherhrnet", "run", *chain, "--work", str(work / "run_work"), *config],
    }


def timed(command: Sequence[str], checkout: Path, work: Path) -> float:
    """Seconds of a command in ``work`` by the clock."""
    script = [str(checkout / command[0])] if command[0].endswith(".py") else [command[0]]
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *script, *command[1:], "OUTPUT_DIR", str(work / "output")],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start


def forget(folders: Iterable[Path]) -> None:
    """Ask the system to drop what it keeps of these folders' files in memory."""
    for folder in folders:
        for file in folder.rglob("*"):
            if file.is_file():
                descriptor = os.open(file, os.O_RDONLY)
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=3, help="of each command and cache")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another checkout, run in turn with this one")
    parser.add_argument("--dir", type=Path, help="where files are made, and removed at the end")
    args = parser.parse_args(argv)
    checkouts = [ROOT, *([args.against.resolve()] if args.against else [])]
    top = Path(tempfile.mkdtemp(prefix="resume_", dir=args.dir))
    try:
        measure(top, checkouts, args.images, args.runs)
    finally:
        shutil.rmtree(top)


def measure(top: Path, checkouts: Sequence[Path], images: int, runs: int) -> None:
    """Run all once, then again, in ``top``."""
    import torch  # noqa: PLC0415

    from tests.support.networks import build  # noqa: PLC0415

    make(top / "data", images)
    torch.save(build(CONFIG).state_dict(), top / "tiny.pth")
    model = top / "tiny_bs1_dynamic.onnx"
    places = [top / f"work{number}" for number in range(len(checkouts))]
    export = ["HigherHRNet_pth2onnx.py", "--weights", "tiny.pth", "--cfg", str(CONFIG), "--output", str(model)]
    timed(export, ROOT, top)
    for checkout, place in zip(checkouts, places, strict=True):
        place.mkdir()
        for name, command in commands(place, top / "data", model).items():
            print(f"{name}, {checkout.name}: {timed(command, checkout, place):.1f} s for {images} images", flush=True)
    for name in commands(top, top, model):
        for cache in ("warm", "cold"):
            taken: list[list[float]] = [[] for _ in checkouts]
            for _ in range(runs):
                for checkout, place, times in zip(checkouts, places, taken, strict=True):
                    if cache == "cold":
                        forget([top / "data", place])
                    times.append(timed(commands(place, top / "data", model)[name], checkout, place))
            for checkout, times in zip(checkouts, taken, strict=True):
                print(f"{name} again, {cache}, {checkout.name}: {statistics.median(times):.2f} s (median of {runs})")


if __name__ == "__main__":
    main()
