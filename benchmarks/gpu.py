"""Check and time the torch backend on a bare CUDA machine without a network, in under eight minutes.

    python3 -m benchmarks.gpu --output DIR [--only parity,rates] [--seconds 450] [--device cpu]

Sections, each in a process of its own, so that none meets another's plans, memory or broken card, what is right before
what is fast: env, parity, repeat, memory, search, people, tests, opening, rates, ends. DIR/SECTION.json is written as
the figures come; what failed is said there, and in DIR/sections.json how each section ended. ``--device cpu`` runs the
same lines on tiny sizes. docs/gpu.md has what was found.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import network as floor
from demo import scenes
from demo.synthesis import synthesise
from higherhrnet import decode
from higherhrnet.artifacts import atomic
from higherhrnet.backends import torch as backend
from higherhrnet.backends import torch_decode
from higherhrnet.backends.in_process import InProcess, Seconds, Session
from higherhrnet.backends.torch_cuda_device import CudaDevice
from higherhrnet.config import loader
from higherhrnet.config.options import Options
from higherhrnet.dataset import coco, coco_results, evaluation
from higherhrnet.image import geometry, reader, transform
from higherhrnet.model import network
from higherhrnet.model.architecture import Architecture
from higherhrnet.pipeline import device_decode
from higherhrnet.pipeline.stream import Picture, Stream
from higherhrnet.system import workers

ROOT = Path(__file__).resolve().parent.parent
W32 = ROOT / "experiments/coco/higher_hrnet/w32_512_adam_lr1e-3.yaml"
DEMO = ROOT / "experiments/demo/w16_512.yaml"
DEMO_WEIGHTS = ROOT / "demo/weights/w16_512.pth"
SECTIONS = {
    "env": 20,
    "parity": 60,
    "repeat": 30,
    "memory": 30,
    "search": 60,
    "people": 60,
    "tests": 60,
    "opening": 60,
    "rates": 110,
    "ends": 120,
}
"""And the most seconds that each takes."""
_DECODE = frozenset({"search", "people", "ends"})


class Section:
    """Figures of one section, on the device."""

    def __init__(self, file: Path, *, cuda: bool, folder: Path) -> None:
        """Figures go to ``file``; ``folder`` is for data."""
        self.cuda, self.folder, self._file = cuda, folder, file
        self.figures: dict[str, Any] = {}

    def note(self, name: str, value: Any) -> None:
        """Keep and print a figure."""
        self.figures[name] = value
        atomic.write_json(self._file, self.figures)
        print(f"{self._file.stem}: {name}: {json.dumps(value)}", flush=True)

    def got(self, name: str, call: Callable[[], Any]) -> Any:
        """What a call gives, or None and the words of what went wrong: the next figures are wanted all the same."""
        try:
            return call()
        except Exception as e:
            self.note(name, f"{type(e).__name__}: {' '.join(str(e).split())[:300]} @ {traceback.format_exc()[-300:]}")

    def tried(self, name: str, call: Callable[[], Any]) -> None:
        """Keep the figure that a call gives, if it does."""
        figure = self.got(name, call)
        if figure is not None:
            self.note(name, figure)

    def backend(self, config: Path, *, batch: int, **more: Any) -> backend.Torch:
        """The demo network, or a seeded one."""
        loaded = loader.load(config)
        architecture = Architecture.from_extra(loaded.extra, loaded.heads)
        weights = DEMO_WEIGHTS
        if config != DEMO:
            weights = self.folder / "seeded.pth"
            if not weights.exists():
                torch.manual_seed(0)
                torch.save(network.HigherHRNet(architecture).state_dict(), weights)
        more = {"on": "cuda" if self.cuda else "cpu", **more}
        if not self.cuda and more.get("precision", "float32") == "float16":
            more["precision"] = "float32"
        return backend.Torch(weights, architecture, batch=batch, **more)


def env(s: Section) -> None:
    """The machine, and what it allows."""
    s.note("torch", [torch.__version__, torch.version.cuda, torch.backends.cudnn.version() if s.cuda else None])
    s.note("cores", workers.cores())
    if s.cuda:
        s.note("card", torch.cuda.get_device_name())
        s.tried("operations and bytes per second", lambda: floor.rates("cuda", torch.float16, 5))


def _pictures(*size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def _run(session: Session, pictures: np.ndarray, slot: int = 0) -> list[np.ndarray]:
    session.sources[slot][:] = pictures
    session.launch(slot)
    session.wait(slot)
    return [result.copy() for result in session.results[slot]]


def _worst(ours: list[np.ndarray], reference: list[np.ndarray]) -> list[float]:
    return [float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(ours, reference, strict=True)]


def _expected(trained: network.HigherHRNet, pictures: np.ndarray) -> list[np.ndarray]:
    """The outputs of pictures, plain and then flipped, as the host makes their input."""
    plain = [transform.normalise(picture) for picture in pictures]
    with torch.inference_mode():
        outputs = trained(torch.from_numpy(np.stack([*plain, *map(transform.mirror, plain)])))
    return [output.numpy() for output in outputs]


def parity(s: Section) -> None:
    """Maps of pictures, plain and flipped, against the trained network in float32 on the CPU."""
    for config in (DEMO, W32) if s.cuda else ():
        for shape in ((512, 512), (512, 704)):
            given = _pictures(2, *shape, 3)
            reference: list[np.ndarray] = []
            for precision in ("float32", "float16", "bfloat16"):

                def compared(
                    config: Path = config,
                    shape: tuple[int, int] = shape,
                    given: np.ndarray = given,
                    reference: list[np.ndarray] = reference,
                    precision: str = precision,
                ) -> list[float]:
                    made = s.backend(config, batch=2, precision=precision)
                    if not reference:
                        reference.extend(_expected(made.trained, given))
                    return _worst(_run(made.open_pictures(shape, flip=True), given), reference)

                s.tried(f"{config.stem} {shape[0]}x{shape[1]} {precision}", compared)


def loader_architecture(config: Path) -> Architecture:
    """Of a configuration."""
    loaded = loader.load(config)
    return Architecture.from_extra(loaded.extra, loaded.heads)


def repeat(s: Section) -> None:
    """The same batches alone, again, and many in flight, of two shapes: equal to the bit?"""
    for precision in ("float16", "float32"):

        def equal(precision: str = precision) -> dict[str, Any]:
            made = s.backend(W32 if s.cuda else DEMO, batch=4 if s.cuda else 1, precision=precision)
            shapes = ((512, 512), (512, 704)) if s.cuda else ((64, 64), (64, 96))
            sessions = [made.open_pictures(shape, flip=True) for shape in shapes]
            batches = [_pictures(*session.sources[0].shape, seed=i) for i, session in enumerate(sessions * 3)]
            alone = [_run(session, batch) for session, batch in zip(sessions * 3, batches, strict=True)]
            again = [_run(session, batch) for session, batch in zip(sessions * 3, batches, strict=True)]
            slots, wrong, rounds = len(sessions[0].sources), 0, 8 if s.cuda else 1
            for _ in range(rounds):
                for first in range(0, len(batches), slots):
                    group = list(range(first, min(first + slots, len(batches))))
                    for i in group:
                        sessions[i % 2].sources[i - first][:] = batches[i]
                        sessions[i % 2].launch(i - first)
                    for i in group:
                        sessions[i % 2].wait(i - first)
                        pairs = zip(sessions[i % 2].results[i - first], alone[i], strict=True)
                        wrong += any(not np.array_equal(a, b) for a, b in pairs)
            same = all(
                np.array_equal(a, b) for x, y in zip(alone, again, strict=True) for a, b in zip(x, y, strict=True)
            )
            return {"again": same, "in flight, different": wrong, "of": rounds * len(batches)}

        s.tried(precision, equal)


def memory(s: Section) -> None:
    """What happens where the card has no room for a batch."""
    said: list[str] = []
    made = s.backend(W32 if s.cuda else DEMO, batch=32 if s.cuda else 2, say=said.append)
    if s.cuda:
        s.got("256x320", partial(_opens, made, (256, 320)))
        free = torch.cuda.memory_reserved() + (900 << 20)
        torch.cuda.set_per_process_memory_fraction(free / torch.cuda.get_device_properties(0).total_memory)
    for shape in ((512, 704), (512, 1024)) if s.cuda else ((64, 64),):
        s.tried(f"{shape[0]}x{shape[1]}", partial(_opens, made, shape))
    s.note("said", said)


def _opens(made: backend.Torch, shape: tuple[int, int]) -> bool:
    return bool(made.open_pictures(shape, flip=True))


def _grid() -> list[tuple[int, int]]:
    return sorted(geometry.shape_grid(512), key=lambda shape: (shape[0] * shape[1], shape))


def opening(s: Section) -> None:
    """Seconds that opening every shape takes, with heuristics and tuned."""
    for tuned in (False, True):
        for batch in (32, 1) if s.cuda else (1,):

            def opened(tuned: bool = tuned, batch: int = batch) -> dict[str, float]:
                made = s.backend(W32 if s.cuda else DEMO, batch=batch, tuned=tuned)
                start = time.perf_counter()
                every = []
                for shape in _grid() if s.cuda else [(64, 64)]:
                    begin = time.perf_counter()
                    made.open_pictures(shape, flip=True)
                    every.append(round(time.perf_counter() - begin, 2))
                return {"all": round(time.perf_counter() - start, 2), "first": every[0], "most": max(every)}

            s.tried(f"batch {batch}{' tuned' * tuned}", opened)


def rates(s: Section) -> None:
    """Passes a second: the network alone, and with the copies of both ways, several batches in flight."""
    config = W32 if s.cuda else DEMO
    first = [(512, 512), (512, 704)] if s.cuda else [(64, 64)]
    per_operation, per_byte = floor.rates("cuda", torch.float16, 5) if s.cuda else (1e9, 1e9)
    net = network.HigherHRNet(loader_architecture(config)).eval()
    one, two = (floor.work(net, (512, 512), passes) for passes in (1, 2))
    for batch in (32, 1, 8) if s.cuda else (1,):
        for tuned in (False, True) if batch != 8 else (False,):
            called = f"batch {batch}{' tuned' * tuned}"
            made = s.got(called, partial(s.backend, config, batch=batch, precision="float16", tuned=tuned))
            others = [shape for shape in _grid() if shape not in first] if s.cuda and not tuned else []
            if made is None:
                continue
            for shape in first + others:

                def timed(made: backend.Torch = made, shape: tuple[int, int] = shape) -> dict[str, float]:
                    session = made.open_pictures(shape, flip=True)
                    slots = len(session.sources)
                    for slot in range(slots):
                        session.sources[slot][:] = 100
                    _run(session, session.sources[0].copy())
                    rounds = max(6, 48 // made.batch) if s.cuda else 2
                    alone = []
                    for _ in range(rounds):
                        session.launch(0)
                        alone.append(session.wait(0).execute)
                    start = time.perf_counter()
                    for i in range(rounds):
                        if i >= slots:
                            session.wait(i % slots)
                        session.launch(i % slots)
                    for i in range(rounds, rounds + min(slots, rounds)):
                        session.wait(i % slots)
                    both = time.perf_counter() - start
                    passes = getattr(session, "passes", 1) * made.batch
                    size = passes * shape[0] * shape[1] / 512**2  # both counts are linear in it, but for the weights
                    values = one.values + (size - 1) * (two.values - one.values)
                    bound = max(size * one.operations / per_operation, 2 * values / per_byte)
                    return {
                        "ms": round(1000 * statistics.median(alone), 3),
                        "passes_s": round(passes / statistics.median(alone), 1),
                        "with_copies_passes_s": round(passes * rounds / both, 1),
                        "floor_passes_s": round(passes / bound, 1),
                        "of_floor": round(bound / statistics.median(alone), 3),
                    }

                s.tried(f"batch {batch} {shape[0]}x{shape[1]}{' tuned' * tuned}", timed)


def _scenes(s: Section, count: int) -> coco.Dataset:
    scenes.write(s.folder / "scenes", images=count, seed=1)
    return coco.load(coco.Location(str(s.folder / "scenes"), "val2017").annotations)


def _asked(s: Section, images: list[coco.Image]) -> list[Picture[int]]:
    location = coco.Location(str(s.folder / "scenes"), "val2017")

    def read(image: coco.Image) -> Callable[[], tuple[np.ndarray, None]]:
        return lambda: (reader.read_image(location.picture(image)), None)

    return [Picture(i, image.file_name, read(image)) for i, image in enumerate(images)]


def people(s: Section) -> None:
    """The demo network's people of scenes: on the CPU, and on the card in each precision; AP of each."""
    decode.compile()
    dataset = _scenes(s, 40 if s.cuda else 2)
    plan = loader.load(DEMO).plan
    cpu: list[Any] = []
    for on, precision in (("cpu", "float32"), ("cuda", "float32"), ("cuda", "float16"), ("cuda", "bfloat16")):
        if on == "cuda" and not s.cuda:
            break

        def found(on: str = on, precision: str = precision) -> dict[str, Any]:
            made = s.backend(DEMO, batch=4, precision=precision, on=on)
            with Stream(made, plan, Options()) as stream:
                every: list[Any] = [one.people for one in stream.run(_asked(s, list(dataset.images)))]
            entries = []
            for image, one in zip(dataset.images, every, strict=True):
                entries += coco_results.entries(image.image_id, one.keypoints, one.scores)
            file = s.folder / f"{on}_{precision}.json"
            coco_results.write(file, entries)
            figures = evaluation.evaluate(dataset, file, [image.image_id for image in dataset.images])
            cpu.append(every) if not cpu else None
            pairs = [(a, b) for a, b in zip(cpu[0], every, strict=True) if len(a) == len(b)]
            far = [np.abs(a.keypoints[..., :2] - b.keypoints[..., :2]).max(initial=0) for a, b in pairs]
            return {
                "AP": figures["AP"],
                "people": sum(map(len, every)),
                "images with as many": len(pairs),
                "their joints' largest distance, pixels": float(max(far, default=0)),
                "images with none beyond 0.01": int(sum(d < 0.01 for d in far)),
            }

        s.tried(f"{on} {precision}", found)


def _of_people(
    shape: tuple[int, int], batch: int, *, people: int = 4, clutter: int = 6, noise: float = 0
) -> list[np.ndarray]:
    """Both outputs of a batch, the plain pass first: those of four images, repeated."""
    rng = np.random.default_rng(0)
    at = geometry.fit(shape[1], shape[0], 512)
    passes: tuple[list[Any], list[Any]] = ([], [])
    for _ in range(min(batch, 4)):
        persons = [
            np.concatenate((rng.uniform(0, 1, (17, 2)) * (shape[1], shape[0]), np.full((17, 1), 2)), axis=1)
            for _ in range(people)
        ]
        for one, outputs in zip(passes, synthesise(persons, at, rng, clutter=clutter), strict=True):
            one.append(
                [m + np.float32(noise) * rng.standard_normal(m.shape, np.float32) if noise else m for m in outputs]
            )
    return [
        np.concatenate(
            [np.resize(np.stack([o[output] for o in one]), (batch, *one[0][output].shape)) for one in passes]
        )
        for output in (0, 1)
    ]


def search(s: Section) -> None:
    """The decode of maps on the card: is it the host's to the bit, and what does it take?"""
    decode.compile()
    options, where = Options(), torch.device("cuda" if s.cuda else "cpu")
    on: Callable[[], AbstractContextManager] = torch.inference_mode
    if s.cuda:
        device = CudaDevice(0)
        on = partial(device.beside, device.stream())

    def maps_of(outputs: list[np.ndarray]) -> torch_decode.Maps:
        first, second = (torch.from_numpy(output).to(where) for output in outputs)
        return torch_decode.Maps((first, second), passes=2, flip=options.flip, on=on)

    def on_host(outputs: list[np.ndarray], image: int) -> decode.People:
        plain, mirrored = (tuple(o[image + start] for o in outputs) for start in (0, len(outputs[0]) // 2))
        return decode.decode(plain, mirrored, options)

    for shape in ((512, 512), (512, 704)) if s.cuda else ((64, 64),):
        for batch in (1, 8, 32) if s.cuda else (1,):

            def timed(shape: tuple[int, int] = shape, batch: int = batch) -> dict[str, float]:
                outputs = _of_people(shape, batch)
                taken = []
                for _ in range(8 if s.cuda else 3):
                    maps = maps_of(outputs)
                    if s.cuda:
                        torch.cuda.synchronize()
                    start = time.perf_counter()
                    device_decode.people(maps, options, batch, with_flip=True)
                    taken.append(time.perf_counter() - start)
                start = time.perf_counter()
                for image in range(min(batch, 4)):
                    on_host(outputs, image)
                host = (time.perf_counter() - start) / min(batch, 4)
                return {
                    "ms an image on the device": round(1000 * statistics.median(taken[2:]) / batch, 3),
                    "ms an image on a core of the host": round(1000 * host, 3),
                }

            s.tried(f"batch {batch} {shape[0]}x{shape[1]}", timed)
    for shape in _grid() if s.cuda else [(64, 64)]:

        def equal(shape: tuple[int, int] = shape) -> dict[str, str]:
            every = {}
            for sort, people, clutter, noise in (
                ("four people", 4, 6, 0.0),
                ("crowd", 12, 6, 0.0),
                ("clutter", 4, 200, 0.0),
                ("noise", 4, 6, 0.01),
            ):
                outputs = _of_people(shape, 4, people=people, clutter=clutter, noise=noise)
                found = device_decode.people(maps_of(outputs), options, 4, with_flip=True)
                same = [
                    ours is not None and np.array_equal(ours.keypoints, on_host(outputs, image).keypoints)
                    for image, ours in enumerate(found)
                ]
                every[sort] = f"{sum(same)} of {len(same)} images equal"
            return every

        s.tried(f"{shape[0]}x{shape[1]}", equal)


class _Synthesised:
    """A session whose maps are of people, as those of seeded weights are of none: all else is the session's."""

    def __init__(self, session: Session, maps: list[np.ndarray], *, keeps_maps: bool) -> None:
        self._session = session
        self.sources, self.passes, self.slots_of = session.sources, session.passes, session.slots_of  # type: ignore
        self.results = [tuple(maps)] * len(self.sources)
        self._maps = tuple(torch.from_numpy(output).to("cuda") for output in maps) if keeps_maps else ()

    def maps(self, slot: int, flip: Sequence[int]) -> torch_decode.Maps:
        """Where these are decoded on the card."""
        on = self._session.maps(slot, flip)._on  # type: ignore[attr-defined]
        return torch_decode.Maps(self._maps, passes=2, flip=flip, on=on)  # type: ignore[arg-type]

    def launch(self, slot: int) -> None:
        self._session.launch(slot)

    def wait(self, slot: int) -> Seconds:
        return self._session.wait(slot)


class _WithPeople(InProcess):
    """A backend on which every picture has four people and some clutter."""

    def __init__(self, made: InProcess, *, network: bool = True) -> None:
        self._made, self._network = made, network
        self.batch, self.heads, self.name, self.runtime = made.batch, made.heads, made.name, made.runtime
        self.kept_sessions, self.most_threads = made.kept_sessions, made.most_threads
        self.keeps_maps = made.keeps_maps

    def open(self, shape: tuple[int, int], device: int = 0) -> Session:
        raise NotImplementedError

    def open_pictures(self, shape: tuple[int, int], device: int = 0, *, flip: bool) -> Any:
        maps = _of_people(shape, self.batch)
        if not self._network:
            return _Instant(self.batch, shape, maps)
        return _Synthesised(self._made.open_pictures(shape, device, flip=flip), maps, keeps_maps=self.keeps_maps)


class _Instant:
    """A network that takes no time."""

    def __init__(self, batch: int, shape: tuple[int, int], maps: list[np.ndarray]) -> None:
        self.sources = [np.empty((batch, *shape, 3), np.uint8) for _ in range(4)]
        self.passes = 2
        self.results = [tuple(maps)] * 4

    def launch(self, slot: int) -> None:
        pass

    def wait(self, slot: int) -> Seconds:
        return Seconds(1e-9, 1e-9)


@contextlib.contextmanager
def _card_use(s: Section, found: list[float]) -> Iterator[None]:
    """Add to ``found`` what share of the time the card was at work meanwhile, in per cent; nothing where none says."""
    if not s.cuda or shutil.which("nvidia-smi") is None:
        yield
        return
    card = f"--id=GPU-{torch.cuda.get_device_properties(0).uuid}"  # nvidia-smi counts all, PyTorch the visible ones
    command = ["nvidia-smi", card, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "200"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as smi:
        try:
            yield
        finally:
            smi.terminate()
            found += [float(line) for line in smi.communicate()[0].splitlines() if re.fullmatch(r"\s*[\d.]+\s*", line)]


def ends(s: Section) -> None:
    """Pictures on disk in, people out, with flip; every stage's share of the time, and the card's use."""
    decode.compile()
    few = list(_scenes(s, 24 if s.cuda else 2).images)
    shapes = [geometry.fit(image.width, image.height, 512).shape for image in few]
    s.note("pixels an image, in 512x512", round(float(np.mean([h * w for h, w in shapes])) / 512**2, 3))
    plan = loader.load(W32).plan
    threads = max(workers.cores(), 2)
    for title, config, wanted, images_of_run, live in (
        ("no network", DEMO, 32, 1440, False),
        ("W32, maps of four people", W32, 32, 1920, True),
        ("W32, maps of four people, decoded on the card", W32, 32, 1920, True),
        ("W32, maps of four people", W32, 8, 1440, True),
        ("W32, maps of four people, decoded on the card", W32, 8, 1440, True),
        ("W32, maps of four people", W32, 1, 720, True),
        ("demo network, its own people", DEMO, 32, 1440, True),
    ):
        count, batch = (images_of_run, wanted) if s.cuda else (4, 1)
        if not s.cuda and config == W32:
            continue

        def whole(
            title: str = title, config: Path = config, batch: int = batch, count: int = count, live: bool = live
        ) -> dict[str, Any]:
            real = s.backend(config, batch=batch, precision="float16", keeps_maps="on the card" in title)
            made: InProcess = real if "own" in title else _WithPeople(real, network=live)
            for shape in set(shapes) if s.cuda else ():
                made.open_pictures(shape, flip=True)
            images = [few[i % len(few)] for i in range(count)]
            use: list[float] = []
            with Stream(made, replace(plan), Options(), threads=threads) as stream:
                warm = len(few) * 2
                for _ in stream.run(_asked(s, images[:warm])):
                    pass
                before = dict(stream.clock.seconds)
                with _card_use(s, use):
                    start = time.perf_counter()
                    found = sum(len(one.people or ()) for one in stream.run(_asked(s, images)))
                    taken = time.perf_counter() - start
                stages = {k: round((v - before[k]) / taken, 2) for k, v in stream.clock.seconds.items()}
            return {
                "images_s": round(count / taken, 1),
                "people": found,
                "threads": threads,
                "stages, in threads at work": stages,
                "card's use, %": round(statistics.mean(use), 1) if use else None,
            }

        s.tried(f"{title}, batch {batch}", whole)


def tests(s: Section) -> None:
    """The tests that need a card."""
    names = (
        ["tests/backends/test_torch.py", "tests/pipeline/test_device_decode.py"]
        if s.cuda
        else ["tests/backends/test_transfers.py"]
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *names, *(["-k", "gpu or captured"] * s.cuda)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    s.note("status", done.returncode)
    s.note("end", (done.stdout + done.stderr)[-1500:])


def main() -> None:
    """Run the sections, each in a process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--only", default=",".join(SECTIONS), metavar="S,S")
    parser.add_argument("--seconds", type=float, default=450, metavar="S")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--here", metavar="S", help=argparse.SUPPRESS)
    args = parser.parse_args()
    atomic.make_directory(args.output)
    if args.here:
        with tempfile.TemporaryDirectory() as folder:
            section = Section(args.output / f"{args.here}.json", cuda=args.device == "cuda", folder=Path(folder))
            section.got("failed", partial(globals()[args.here], section))
        return
    names = args.only.split(",")
    if unknown := set(names) - set(SECTIONS):
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(SECTIONS)}")
    for name in names:
        (args.output / f"{name}.json").unlink(missing_ok=True)  # of an earlier run
    end = time.monotonic() + args.seconds
    told = Section(args.output / "sections.json", cuda=False, folder=args.output)
    with _compiling() if _DECODE & set(names) else contextlib.nullcontext():
        for name in names:
            left, start = min(SECTIONS[name], end - time.monotonic()), time.monotonic()
            command = [sys.executable, "-m", "benchmarks.gpu", "--here", name, "--device", args.device]
            ended = run([*command, "--output", str(args.output)], left) if left >= 5 else "no time was left"
            told.note(name, {"seconds": round(time.monotonic() - start), "ended": ended})


@contextlib.contextmanager
def _compiling() -> Iterator[None]:
    """The decode is compiled beside the first sections, which take no time on the host."""
    with subprocess.Popen([sys.executable, "-m", "higherhrnet.decode"], cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


def run(command: Sequence[str], seconds: float) -> str:
    """Run a program for so long at most, and end all that it has started; how it ended."""
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True) as process:
        try:
            return f"with status {process.wait(seconds)}"
        except subprocess.TimeoutExpired:
            return f"stopped after {seconds:.0f} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
