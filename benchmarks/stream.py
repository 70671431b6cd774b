"""``predict`` against the bare session: pictures on disk in, JSON out, alternately in one process.

    python3 -m benchmarks.stream --cfg experiments/demo/w16_512.yaml --model w16_512_bs1_dynamic.onnx --pictures DIR

An INT8 file is a --model too, in ONNX Runtime and with ``--backend openvino``.
Then, each in a process of its own: the seconds from the start until the first picture's people, and the peak of memory
over ``--few`` and over ``--many`` frames of one video, at an input of 128 pixels so that it does not take long.
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
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from higherhrnet import decode
from higherhrnet.artifacts.work import PosesWork
from higherhrnet.backends.choices import InferenceOptions
from higherhrnet.backends.in_process import InProcess, Session
from higherhrnet.backends.select import Inference
from higherhrnet.config import loader
from higherhrnet.config.values import Config
from higherhrnet.image import geometry, reader, transform
from higherhrnet.pipeline import predict
from higherhrnet.pipeline.batches import fill
from higherhrnet.pipeline.people import Filter
from higherhrnet.pipeline.pose import backend_for
from higherhrnet.pipeline.sources import Reading
from higherhrnet.pipeline.stream import Stream

ROOT = Path(__file__).resolve().parents[1]


def bare(backend: InProcess, config: Config, pictures: Sequence[np.ndarray]) -> float:
    """Seconds that both passes of all pictures take in sessions that are open, their input made before."""
    sessions: dict[tuple[int, int], Session] = {}
    seconds = 0.0
    for pixels in pictures:
        warped = transform.warp(pixels, geometry.of_plan(pixels.shape[1], pixels.shape[0], config.plan))
        shape = (warped.shape[0], warped.shape[1])
        if shape not in sessions:
            sessions[shape] = backend.open(shape)
            sessions[shape].launch(0)  # the first call plans memory
            sessions[shape].wait(0)
        for flip in (False, True):
            fill(sessions[shape].sources[0], [warped], flip=flip)
            start = time.perf_counter()
            sessions[shape].launch(0)
            sessions[shape].wait(0)
            seconds += time.perf_counter() - start
    return seconds


def whole(backend: InProcess, config: Config, folder: Path) -> float:
    """Seconds that ``predict`` takes for a folder of pictures."""
    job = predict.PredictJob([str(folder)], Reading(), Filter(), config.joint_set)
    work = PosesWork(network={}, options={}, reading={}, saved=[], version=decode.VERSION)
    with tempfile.TemporaryDirectory() as output, Stream(backend, config.plan, config.options) as stream:
        start = time.perf_counter()
        predict.files(stream, job, Path(output) / "poses", ["json"], work, lambda _: None)
        return time.perf_counter() - start


def command(options: argparse.Namespace, source: Path, *more: object) -> list[str]:
    """``predict`` as a program."""
    network = ["--cfg", options.cfg.absolute(), "--model", options.model.absolute(), "--backend", options.backend]
    return [sys.executable, "-m", "higherhrnet", "predict", str(source.absolute()), *map(str, (*network, *more))]


def first_result(options: argparse.Namespace, picture: Path) -> float:
    """Seconds from the start of the program until the people of one picture are printed."""
    start = time.perf_counter()
    with subprocess.Popen(
        command(options, picture, "--output", "-"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as program:
        assert program.stdout is not None
        line = program.stdout.readline()
        seconds = time.perf_counter() - start
    json.loads(line)
    return seconds


def peak(options: argparse.Namespace, picture: np.ndarray, frames: int, folder: Path) -> float:
    """Megabytes of memory at most, over a video in which ``picture``, RGB uint8 [h, w, 3], moves to the right."""
    video = folder / f"{frames}.mp4"
    small = np.asarray(cv2.resize(picture, (160, 128), interpolation=cv2.INTER_AREA), np.uint8)
    with av.open(str(video), "w") as output:
        stream: Any = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        for number in range(frames):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(small, number, axis=1))))
        output.mux(stream.encode(None))
    more = ("--output", folder / f"poses{frames}", "--set", "DATASET.INPUT_SIZE", 128)
    found = 0
    with subprocess.Popen(command(options, video, *more), cwd=ROOT, stdout=subprocess.DEVNULL) as program:
        while program.poll() is None:
            # Not getrusage, in which a child begins with what its parent had.
            if told := re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{program.pid}/status").read_text(), re.MULTILINE):
                found = max(found, int(told[1]))
            time.sleep(0.05)
    if program.returncode:
        raise subprocess.CalledProcessError(program.returncode, program.args)
    return found / 1024


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cfg", type=Path, required=True, help="yaml of the official layout")
    parser.add_argument("--model", type=Path, required=True, help=".onnx")
    parser.add_argument("--pictures", type=Path, required=True, help="a folder of pictures")
    parser.add_argument("--backend", choices=("onnxruntime", "openvino", "torch"), default="onnxruntime")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--few", type=int, default=50, help="frames (default: %(default)s)")
    parser.add_argument("--many", type=int, default=2000, help="frames; 0 leaves memory out (default: %(default)s)")
    options = parser.parse_args(argv)
    config = loader.load(options.cfg, [])
    decode.compile()
    backend, _, _ = backend_for(Inference(InferenceOptions(backend=options.backend, model=options.model), config))
    files = sorted(options.pictures.iterdir())
    pictures = [reader.read_image(file) for file in files]
    whole(backend, config, options.pictures)
    rates: list[dict[str, float]] = []
    for _ in range(options.rounds):
        seconds = {"session": bare(backend, config, pictures), "predict": whole(backend, config, options.pictures)}
        rates.append({name: len(pictures) / taken for name, taken in seconds.items()})
        print({name: round(rate, 3) for name, rate in rates[-1].items()}, file=sys.stderr, flush=True)
    result: dict[str, float] = {name: statistics.median(rate[name] for rate in rates) for name in rates[0]}
    result["share"] = statistics.median(rate["predict"] / rate["session"] for rate in rates)
    result["first result, s"] = statistics.median(first_result(options, files[0]) for _ in range(options.rounds))
    if options.many:
        with tempfile.TemporaryDirectory() as folder:
            for frames in (options.few, options.many):
                result[f"peak over {frames} frames, MB"] = peak(options, pictures[0], frames, Path(folder))
    print(json.dumps({"cores": len(os.sched_getaffinity(0)), **{name: round(v, 3) for name, v in result.items()}}))


if __name__ == "__main__":
    main()
