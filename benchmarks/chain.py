"""``python3 -m higherhrnet run`` against its slowest stage alone: throughput, disk, memory, and what float16 changes.

    python3 -m benchmarks.chain --data ../shared/data/coco_mini

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


def chain(work: Path, data: Path, budget: str, *more: object) -> dict[str, float]:
    """One ``run`` from the beginning: its figures by name."""
    where = ["--cfg", CONFIG, "--model", MODEL, "--backend", "onnxruntime", "DATASET.ROOT", data]
    said = call(["-m", "higherhrnet", "run", "--overwrite", "--disk_budget", budget, *where, *more], work)
    stages = {name: float(seconds) for name, seconds in re.findall(r"^(\w+)[^\n]*?\s(\d+\.\d)\s+[\d.]+$", said, re.M)}
    peak, memory, worker = map(float, re.findall(r"peak on disk (\S+) MB .*memory (\d+) MB, (\d+) MB", said)[0])
    (average,) = re.findall(r"^\| pose_hig\.\.\. \| (\S+)", said, re.M)
    return {**stages, "disk": peak, "memory": memory, "worker": worker, "AP": float(average)}


INFER_ALONE = """
import sys, time
from pathlib import Path
from higherhrnet.backends import choice
from higherhrnet.stages import infer
model, joints = Path(sys.argv[1]), 17
backend = choice.onnxruntime(model, batch=1, threads=0, done=lambda _: None)
passes = [infer.load(name, flip=flip) for name, flip in (("prep_bin", False), ("prep_bin_flip", True))]
start = time.perf_counter()
infer.run(backend, passes, model=model, result=Path("result"), joints=joints, overwrite=True)
print(time.perf_counter() - start)
"""


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
        settings = {"4GB": (), "64MB": (), "4GB float16": ("--dtype", "float16")}
        alone: list[float] = []
        found: dict[str, list[dict[str, float]]] = {name: [] for name in settings}
        for _ in range(args.rounds):
            alone.append(float(call(["-c", INFER_ALONE, MODEL], work)))
            for name, more in settings.items():
                found[name].append(chain(work, data, name.split()[0], *more))
        base = statistics.median(alone)
        print(f"infer alone: {base:.1f} s")
        for name, runs in found.items():
            ratio = statistics.median(run["run"] / single for run, single in zip(runs, alone, strict=True))
            middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            print(
                f"run --disk_budget {name}: {ratio:.3f} times infer alone "
                f"(preprocess {middle['preprocess']:.1f} s, infer {middle['infer']:.1f} s, decode "
                f"{middle['decode']:.1f} s, run {middle['run']:.1f} s), peak on disk {middle['disk']:.1f} MB, memory "
                f"{middle['memory']:.0f} MB, a worker {middle['worker']:.0f} MB, AP {middle['AP']:.3f}"
            )
        if args.times:
            many = chain(work, repeated(data, args.times, work / "repeated"), "4GB")
            print(
                f"the data set {args.times} times over: memory {many['memory']:.0f} MB, a worker "
                f"{many['worker']:.0f} MB, peak on disk {many['disk']:.1f} MB, run {many['run']:.1f} s"
            )


if __name__ == "__main__":
    main()
