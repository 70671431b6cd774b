"""The Python API: a network that is loaded once, and people from pictures, folders, videos and arrays."""

from __future__ import annotations

import math
import operator
import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from higherhrnet import decode
from higherhrnet.backends.choices import ASCEND, BACKENDS, HOST, PROGRAMS, InferenceOptions
from higherhrnet.backends.in_process import InProcess
from higherhrnet.backends.select import Choice, Inference
from higherhrnet.config import loader
from higherhrnet.errors import BadImageError, UserError
from higherhrnet.pipeline import sources
from higherhrnet.pipeline.agreement import Agreement
from higherhrnet.pipeline.people import Filter, People, of_found
from higherhrnet.pipeline.sources import Place, Reading
from higherhrnet.pipeline.stream import Picture, Stream
from higherhrnet.pipeline.tracks import Trackers

Named = str | os.PathLike[str]
Source = Named | np.ndarray | Iterable[Named | np.ndarray]
MIN_SCORE, OKS_NMS = 0.3, 0.9
"""Defaults of ``predict`` and ``Pose``: an evaluation wants every candidate, a person who looks at poses does not."""


def backend_for(
    inference: Inference, done: Callable[[int], object] = lambda _: None, logs: Path | None = None
) -> tuple[InProcess, Path, Choice]:
    """A backend that runs in this process, its model, and which was chosen; Ascend's libraries log into ``logs``.

    Raises UserError where there is none.
    """
    chosen = inference.choose()
    if chosen.name in PROGRAMS:
        raise UserError(
            f"backend {chosen.name} ({chosen.why}) runs a program over files, which pictures in memory have none of; "
            f"give backend ascend or another that runs in this process, or use run on a data set"
        )
    model = inference.model(chosen.name)
    if logs is None:
        logs = Path(tempfile.mkdtemp(prefix="higherhrnet-")) if chosen.name == ASCEND else Path()
    backend = inference.backend(chosen.name, model, logs=logs, done=done)
    assert isinstance(backend, InProcess)
    return backend, model, chosen


class Pose:
    """Finds people in pictures; to be closed, or used in a ``with`` block.

    >>> pose = Pose("models/pose_higher_hrnet_w32_512_bs1_dynamic.onnx")
    >>> people = pose("street.jpg")
    >>> people.keypoints.shape
    (4, 17, 3)
    """

    def __init__(
        self,
        model: Named | None = None,
        *,
        backend: str = "auto",
        config: Named | None = None,
        settings: Sequence[str] = (),
        precision: str | None = None,
        batch: int = 1,
        flip: bool = True,
        min_score: float = MIN_SCORE,
        oks_nms: float = OKS_NMS,
        exif: bool = True,
        threads: int = 0,
        device: int = 0,
        decode_on: str = HOST,
    ) -> None:
        """Load the network; the first time on a machine compile the decode too, which takes about half a minute.

        Parameters
        ----------
        model : .onnx, .om for backend ascend or .pth for backend torch; None takes the one in models/
        backend : as of ``higherhrnet predict --backend``
        config : yaml of the official layout; None is W32-512 on COCO
        settings : alternating keys and values over the config's, ``["TEST.NMS_KERNEL", "3"]``
        precision : of backends that have several
        batch : pictures that the network gets at a time; what an .onnx was exported for
        flip : test with the mirror image too: more precise, and half as fast
        min_score : people of a lower score are left out; 0 keeps all
        oks_nms : of two people who are at least so alike (0 to 1) the better one is kept; 0 keeps both
        exif : turn picture files as EXIF says
        threads : of the CPU, for the network; 0 leaves their number to the backend
        device : number of the device, where there are several
        decode_on : host, or device, which searches the maps of a CUDA GPU there: backend torch alone

        Raises
        ------
        higherhrnet.errors.UserError : in one line, what is wrong with a file or an option
        """
        _check(backend, {"min_score": min_score, "oks_nms": oks_nms}, {"threads": threads, "device": device}, batch)
        self._config = loader.load(config, [str(part) for part in settings])
        options = InferenceOptions(
            backend=backend,
            model=None if model is None else Path(model),
            batch=batch,
            device_id=device,
            threads=threads,
            precision=precision,
            decode_on=decode_on,
        )
        made, _, _ = backend_for(Inference(options, self._config))
        decode.compile()
        plan = replace(self._config.plan, flip=flip)
        self._skeleton = self._config.joint_set
        self._filter = Filter(min_score, oks_nms)
        self._exif = exif
        self._stream = Stream(made, plan, self._config.options, device=device)

    def __enter__(self) -> Pose:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the network and its threads."""
        self._stream.close()

    @property
    def agreement(self) -> Agreement | None:
        """Whether people are float32's, of each shape's first picture; None where the network computes in float32."""
        return self._stream.agreement

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the K joints of a person."""
        return self._skeleton.names

    def __call__(self, image: Named | np.ndarray) -> People:
        """The people of one picture: a file, or RGB uint8 [h, w, 3].

        Raises
        ------
        higherhrnet.errors.BadImageError : a file that cannot be read
        ValueError : an array of another type or shape; a name of a video, or of several pictures
        TypeError : neither a path nor an array
        RuntimeError : closed, or made by a process that this one was forked from
        """
        (people,) = self.stream([image] if isinstance(image, np.ndarray) else [_of_picture(image)])
        return people

    def stream(
        self, source: Source, *, stride: int = 1, track: bool = False, skip_bad: bool = False
    ) -> Generator[People, None, None]:
        """The people of each picture of a source, one after another, while the next ones are read and computed.

        Parameters
        ----------
        source : a picture file, a folder, a pattern, a video file, camera:N, an array, or an iterable of these
        stride : of videos and cameras only every so many frames
        track : follow people through a video or the arrays of an iterable: ``People.tracks``
        skip_bad : leave out what cannot be read

        Raises
        ------
        higherhrnet.errors.BadImageError : what cannot be read, unless ``skip_bad``; that it is the end after the
            people before
        """
        if operator.index(stride) < 1:
            raise ValueError(f"stride is {stride}, expected at least 1")
        named = [source] if isinstance(source, str | os.PathLike | np.ndarray) else source
        live = isinstance(source, str) and source.startswith("camera:")
        trackers = Trackers(self._skeleton.sigmas)
        for found in self._stream.run(_pictures(named, Reading(self._exif, stride)), live=live):
            place = found.key
            if place.is_last:
                continue
            if found.error is not None:
                if skip_bad:
                    continue
                raise found.error
            people = of_found(found, self._skeleton, self._filter)
            yield trackers.follow(people, place.source) if track else people


def _check(backend: str, levels: Mapping[str, float], counts: Mapping[str, int], batch: int) -> None:
    """Refuse what argparse refuses for the command. Raises UserError."""
    if backend not in BACKENDS:
        raise UserError(f"backend is {backend!r}, expected one of {', '.join(BACKENDS)}")
    for name, level in levels.items():
        if not isinstance(level, Real) or not 0 <= level < math.inf:
            raise UserError(f"{name} is {level!r}, expected a finite number of at least 0")
    for name, count, least in (*((name, count, 0) for name, count in counts.items()), ("batch", batch, 1)):
        if not isinstance(count, Integral) or count < least:
            raise UserError(f"{name} is {count!r}, expected a whole number of at least {least}")


def _of_picture(image: Named) -> str:
    """A picture's path: what means several pictures, or something that lasts, is for ``stream``."""
    name = _named(image)
    meant = [None] if name == sources.LIST else list(sources.find([name]))
    if len(meant) != 1 or meant[0] is None or getattr(meant[0], "kind", sources.PICTURE) != sources.PICTURE:
        raise ValueError(f"{name} is no picture; give it to stream")
    return name


def _named(source: Named) -> str:
    name = os.fspath(source) if isinstance(source, str | os.PathLike) else None
    if not isinstance(name, str):
        raise TypeError(f"image is of type {type(source).__name__}, expected a path or an array, RGB uint8 [h, w, 3]")
    return name


def _pictures(named: Iterable[Named | np.ndarray], reading: Reading) -> Iterator[Picture[Place]]:
    array, arrays = sources.Source(0, "", sources.PICTURE), 0
    for one in named:
        if isinstance(one, np.ndarray):
            if one.dtype != np.uint8 or one.ndim != 3 or one.shape[2] != 3 or 0 in one.shape:
                raise ValueError(f"image is {one.dtype} {list(one.shape)}, expected RGB uint8 [h, w, 3]")
            # A copy: who reads a camera fills the same array again, while this one waits.
            yield Picture(Place(array, arrays), f"array {arrays}", partial(sources.given, np.array(one)))
            arrays += 1
            continue
        for source in sources.find([_named(one)]):
            if isinstance(source, BadImageError):
                yield Picture(Place(array), str(one), partial(sources.refuse, source))
            else:
                yield from sources.pictures(source, reading)
