"""``python3 -m higherhrnet run`` against the network alone: throughput, disk, memory, and what float16 changes.

    python3 -m benchmarks.chain --data data/coco

Runs the demo's network with ONNX Runtime. What is compared is measured alternately, medians of ``--rounds``. The last
run is over the data set ten times over, which must not need more memory.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from higherhrnet.artifacts import info, perf

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "experiments/demo/w16_512.yaml"
WEIGHTS = ROOT / "demo/weights/w16_512.pth"
MODEL = "w16_512_bs1_dynamic.onnx"
SPLIT = "val2017"


def call(arguments: list[object], cwd: Path) -> str:
    """Run a script or module of this project; return what it printed."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def chain(work: Path, data: Path, *more: object) -> dict[str, float]:
    """One ``run`` from the beginning: its figures by name."""
    where = ["--cfg", CONFIG, "--model", MODEL, "--backend", "onnxruntime", "DATASET.ROOT", data]
    said = call(["-m", "higherhrnet", "run", "--overwrite", *where, *more], work)
    stages = {name: float(seconds) for name, seconds in re.findall(r"^(\w+)[^\n]*?\s(\d+\.\d)\s+[\d.]+$", said, re.M)}
    peak, memory = map(float, re.findall(r"peak on disk (\S+) MB .*memory (\d+) MB", said)[0])
    (average,) = re.findall(r"^\| pose_hig\.\.\. \| (\S+)", said, re.M)
    return {**stages, "disk": peak, "memory": memory, "AP": float(average)}


def alone(work: Path) -> float:
    """Seconds of the network for all inputs, plain and flipped: what the plain pass's performance files say, twice."""
    names = ["--cfg", CONFIG, "--model", MODEL, "--backend", "onnxruntime", "--overwrite"]
    call([ROOT / "HigherHRNet_benchmark.py", *names], work)
    lists = info.of_shapes(str(work / "prep_bin"))
    figures = perf.find(work / "result")
    return 2 * sum(len(info.read(lists[figure.shape])) / figure.images_per_second for figure in figures)


def repeated(data: Path, times: int, to: Path) -> Path:
    """The data set several times over, under new ids and names."""
    content = json.loads((data / f"annotations/person_keypoints_{SPLIT}.json").read_text())
    images, people = [], []
    (to / "annotations").mkdir(parents=True)
    (to / "images" / SPLIT).mkdir(parents=True)
    for turn in range(times):
        shift = turn * 10_000_000
        for image in content["images"]:
            name = f"{image['id'] + shift:012d}.jpg"
            (to / "images" / SPLIT / name).symlink_to((data / "images" / SPLIT / image["file_name"]).resolve())
            images.append({**image, "id": image["id"] + shift, "file_name": name})
        for person in content["annotations"]:
            ids = {"id": person["id"] * times + turn, "image_id": person["image_id"] + shift}
            people.append({**person, **ids})
    content |= {"images": images, "annotations": people}
    (to / f"annotations/person_keypoints_{SPLIT}.json").write_text(json.dumps(content))
    return to


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="a data set in COCO's layout")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: %(default)s")
    parser.add_argument("--times", type=int, default=10, metavar="N", help="for memory; 0 leaves it away")
    args = parser.parse_args()
    data = args.data.resolve()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        call([ROOT / "HigherHRNet_pth2onnx.py", "--weights", WEIGHTS, "--cfg", CONFIG, "--output", MODEL], work)
        trees = ["--output", "prep_bin", "--output_flip", "prep_bin_flip"]
        call([ROOT / "HigherHRNet_preprocess.py", *trees, "--cfg", CONFIG, "DATASET.ROOT", data], work)
        for tree in ("prep_bin", "prep_bin_flip"):
            call([ROOT / "gen_dataset_info.py", "bin", tree, tree], work)
        settings: dict[str, tuple[object, ...]] = {"float32": (), "float16": ("--dtype", "float16")}
        base: list[float] = []
        found: dict[str, list[dict[str, float]]] = {name: [] for name in settings}
        for _ in range(args.rounds):
            base.append(alone(work))
            for name, more in settings.items():
                found[name].append(chain(work, data, *more))
        print(f"the network alone: {statistics.median(base):.1f} s")
        for name, runs in found.items():
            ratio = statistics.median(run["run"] / single for run, single in zip(runs, base, strict=True))
            middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            print(
                f"run in {name}: {ratio:.3f} times the network alone (preprocess {middle['preprocess']:.1f} s, infer "
                f"{middle['infer']:.1f} s, decode {middle['decode']:.1f} s, run {middle['run']:.1f} s), peak on disk "
                f"{middle['disk']:.1f} MB, memory {middle['memory']:.0f} MB, AP {middle['AP']:.3f}"
            )
        if args.times:
            many = chain(work, repeated(data, args.times, work / "repeated"))
            print(
                f"the data set {args.times} times over: memory {many['memory']:.0f} MB, peak on disk "
                f"{many['disk']:.1f} MB, run {many['run']:.1f} s"
            )


if __name__ == "__main__":
    main()
