"""Time a re-run that finds 5,000 images done, from a warm and a cold page cache.

    python3 -m benchmarks.resume [--images 5000] [--warm 5] [--cold 3] [--against CHECKOUT] [--keep DIR]

Makes a data set of small pictures and a network of a few channels with random weights, runs the chain once, and then
the same commands again, each as a process of its own; with another checkout (from 0.1.0 on), in turn with the same
there, whoever was first being second in the next round. Prints each command's seconds, and the ratios of the rounds.
With --keep, what was made stays in a folder, and the next call begins with the rounds.

Cold: the system forgets all files that it holds in memory, those of Python and of packages too, which takes root's
rights; without these it is asked to forget those of the data set, the inputs and the results (posix_fadvise).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
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

from benchmarks.startup import ENVIRONMENT

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "tests/data/tiny.yaml"
SIDE = 128
PEOPLE = 8  # found in each, of the many that there are in noise
MODEL = "tiny_bs1_dynamic.onnx"
_DROP_CACHES = Path("/proc/sys/vm/drop_caches")
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
    config = ["--cfg", str(CONFIG), "DATASET.ROOT", str(data), "DATASET.MAX_NUM_PEOPLE", str(PEOPLE)]
    trees = ["--output", str(work / "bins"), "--output_flip", str(work / "flip"), "--workers", str(CORES)]
    chain = ["--backend", "onnxruntime", "--model", str(model), "--workers", str(CORES)]
    return {
        "preprocess": ["HigherHRNet_preprocess.py", *trees, *config],
        "run": ["-m", "higherhrnet", "run", *chain, "--work", str(work / "run_work"), *config],
    }


def timed(command: Sequence[str], checkout: Path, work: Path) -> tuple[float, float]:
    """Seconds of a command in ``work``: by the clock, and of cores, which others' load changes less."""
    script = [str(checkout / command[0])] if command[0].endswith(".py") else [command[0]]
    start, before = time.perf_counter(), _core_seconds()
    subprocess.run(
        [sys.executable, *script, *command[1:], "OUTPUT_DIR", str(work / "output")],
        cwd=work,
        env={**ENVIRONMENT, "PYTHONPATH": str(checkout)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start, _core_seconds() - before


def _core_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def forget(folders: Iterable[Path]) -> None:
    """Make the system drop what it keeps of files in memory: of all, or where it refuses of these folders' alone."""
    os.sync()
    try:
        _DROP_CACHES.write_text("3\n")
        return
    except OSError:
        pass
    for folder in folders:
        for file in folder.rglob("*"):
            if file.is_file():
                descriptor = os.open(file, os.O_RDONLY)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--warm", type=int, default=5, help="rounds of each command")
    parser.add_argument("--cold", type=int, default=3, help="rounds of each command")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another checkout, run in turn with this one")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where files are made, stay, and are found again")
    args = parser.parse_args(argv)
    checkouts = [ROOT, *([args.against.resolve()] if args.against else [])]
    top = (args.keep or Path(tempfile.mkdtemp(prefix="resume_"))).absolute()
    try:
        prepare(top, checkouts, args.images)
        for name in commands(top, top, top):
            for cache, rounds in (("warm", args.warm), ("cold", args.cold)):
                if rounds:
                    measure(top, checkouts, name, cache, rounds)
    finally:
        if not args.keep:
            shutil.rmtree(top)


def prepare(top: Path, checkouts: Sequence[Path], images: int) -> None:
    """Make in ``top`` what is not there yet: the data set and the network, and of each checkout the whole work."""
    import torch  # noqa: PLC0415

    from tests.support.networks import build  # noqa: PLC0415

    top.mkdir(parents=True, exist_ok=True)
    if not (top / MODEL).exists():
        make(top / "data", images)
        torch.save(build(CONFIG).state_dict(), top / "tiny.pth")
        export = ["HigherHRNet_pth2onnx.py", "--weights", "tiny.pth", "--cfg", str(CONFIG), "--output", MODEL]
        timed(export, ROOT, top)
    for number, checkout in enumerate(checkouts):
        place = top / f"work{number}"
        place.mkdir(exist_ok=True)
        for name, command in commands(place, top / "data", top / MODEL).items():
            seconds, _ = timed(command, checkout, place)
            print(f"{name}, {checkout.name}: {seconds:.1f} s before the rounds", flush=True)


def measure(top: Path, checkouts: Sequence[Path], name: str, cache: str, rounds: int) -> None:
    """Run a command again in every checkout, so many times in turn, and print what that took."""
    taken: list[list[tuple[float, float]]] = [[] for _ in checkouts]
    for turn in range(rounds):
        for number in sorted(range(len(checkouts)), reverse=turn % 2 == 1):
            place = top / f"work{number}"
            if cache == "cold":
                forget([top / "data", place])
            command = commands(place, top / "data", top / MODEL)[name]
            taken[number].append(timed(command, checkouts[number], place))
    for checkout, pairs in zip(checkouts, taken, strict=True):
        for what, times in zip(("clock", "cores"), zip(*pairs, strict=True), strict=False):
            print(
                f"{name} again, {cache}, {checkout.name}, {what}: median {statistics.median(times):.2f} s, "
                f"least {min(times):.2f} s"
            )
    for checkout, pairs in zip(checkouts[1:], taken[1:], strict=True):
        for unit, what in enumerate(("clock", "cores")):
            ratios = sorted(own[unit] / other[unit] for own, other in zip(taken[0], pairs, strict=True))
            print(
                f"{name} again, {cache}, {what}, of {checkout.name}'s: median {statistics.median(ratios):.2f}, "
                f"{ratios[0]:.2f} to {ratios[-1]:.2f} ({rounds} rounds)",
                flush=True,
            )


if __name__ == "__main__":
    main()
