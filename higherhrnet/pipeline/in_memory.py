"""A data set's images to people without files between: ``run`` on a backend that runs in this process."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from itertools import groupby

import cv2

from higherhrnet.artifacts.journal import Journal
from higherhrnet.artifacts.pictures import Picture as Known
from higherhrnet.artifacts.work import PeopleWork
from higherhrnet.backends.in_process import InProcess
from higherhrnet.dataset import coco, coco_results
from higherhrnet.errors import BadImageError
from higherhrnet.image import geometry
from higherhrnet.pipeline.agreement import Agreement
from higherhrnet.pipeline.batches import Dtypes
from higherhrnet.pipeline.chunks import Chunk
from higherhrnet.pipeline.clock import Clock
from higherhrnet.pipeline.steps import Person, Settings
from higherhrnet.pipeline.stream import Found, Picture, Stream
from higherhrnet.stages import infer, preprocess
from higherhrnet.system import signals

_POLL = 0.2  # seconds between looks at whether to stop
_AHEAD = 16  # images whose people wait, of several devices


class InMemory:
    """A stream on each of the devices; to be used in a ``with`` block."""

    def __init__(self, backend: InProcess, settings: Settings, threads: int) -> None:
        """``threads`` read and decode, shared out among the devices."""
        self.clock = Clock()
        self.agreement = Agreement(backend.name) if backend.has_exact else None
        """Whether people are float32's, where the network computes in less."""
        self._backend, self._settings = backend, settings
        devices = settings.devices or (settings.device,)
        self._each = min(max(threads // len(devices), 1), backend.most_threads)
        cv2.setNumThreads(1)  # the threads share the cores already
        self._streams = [
            Stream(
                backend,
                settings.plan,
                settings.options,
                device=device,
                dtypes=Dtypes(settings.input_dtype, settings.dump_dtype),
                threads=self._each,
                clock=self.clock,
                agreement=self.agreement,
            )
            for device in devices
        ]

    def __enter__(self) -> InMemory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads; what they wait for of a device is given up."""
        for stream in self._streams:
            stream.close()

    @property
    def threads(self) -> int:
        """That read and decode."""
        return self._each * len(self._streams)

    @property
    def left_to_host(self) -> int:
        """Images that were to be decoded on a device, which had no memory left."""
        return sum(stream.left_to_host for stream in self._streams)

    def run(self, images: Sequence[coco.Image], journal: Journal[PeopleWork], done: Callable[[int], object]) -> None:
        """Do the images that the journal lacks; ``done`` is called with 1 after each.

        Raises
        ------
        BadImageError : an image that cannot be read, unless the settings leave these out
        UserError : the network does not run, or gives no numbers; of several devices after the others have finished
        """
        todo = [image for image in images if image.index not in journal]
        for image, known, people in self.people(todo):
            if isinstance(people, str):
                journal.leave_out(image.index, people)
            else:
                journal.add(image.index, known, people)
            done(1)

    def people(self, images: Sequence[coco.Image]) -> Iterator[tuple[coco.Image, Known | None, list[Person] | str]]:
        """Each image with its picture and its people, or why it was left out; those of one shape follow each other.

        Raises as ``run``.
        """
        settings = self._settings
        with contextlib.closing(self._found(images)) as all_found:  # an error's traceback would keep it going
            for found in all_found:
                image = found.key
                if found.error is not None:
                    if not settings.skip_bad:
                        raise BadImageError(f"{found.error}, or leave it out with --skip_bad") from found.error
                    yield image, None, str(found.error)
                    continue
                assert found.people is not None
                keypoints = found.people.keypoints[:, : len(settings.options.flip)]
                scores = found.people.scores
                yield (
                    image,
                    found.note,
                    coco_results.entries(image.image_id, keypoints, scores, category=settings.category),
                )

    def seconds(self, chunk: Chunk) -> dict[str, float]:
        """What each stage takes for a chunk's images."""
        before = dict(self.clock.seconds)
        for _ in self.people(chunk.images):
            pass
        shared = {"infer": len(self._streams)}
        return {
            stage: (after - before[stage]) / shared.get(stage, self.threads)
            for stage, after in self.clock.seconds.items()
        }

    def _found(self, images: Sequence[coco.Image]) -> Generator[Found[coco.Image], None, None]:
        plan = self._settings.plan

        def shape(image: coco.Image) -> tuple[int, int]:
            return geometry.of_plan(image.width, image.height, plan).shape

        groups = [(key, list(same)) for key, same in groupby(sorted(images, key=shape), shape)]
        parts = infer.split(groups, len(self._streams), self._backend.batch)
        asked = [[self._picture(image) for _, same in part for image in same] for part in parts]
        if len(self._streams) == 1:  # in this thread: Ctrl-C then reaches it
            return self._streams[0].run(asked[0])
        runs = zip(self._streams, asked, strict=True)
        return _SideBySide([stream.run(part) for stream, part in runs if part]).all()

    def _picture(self, image: coco.Image) -> Picture[coco.Image]:
        settings = self._settings
        return Picture(
            image,
            f"image {settings.location.picture(image)}",
            partial(preprocess.read, settings.location, image, exif=settings.exif),
        )


class _SideBySide:
    """What several devices find, as it comes. A failure ends its own device's part, and is raised after the others."""

    def __init__(self, parts: Sequence[Generator[Found[coco.Image], None, None]]) -> None:
        self._parts = parts
        self._found: queue.Queue[Found[coco.Image] | None] = queue.Queue(_AHEAD)
        self._errors: list[BaseException | None] = [None] * len(parts)
        self._stop = threading.Event()

    def all(self) -> Generator[Found[coco.Image], None, None]:
        threads = [
            threading.Thread(target=self._work, args=(number,), name=f"device {number}", daemon=True)
            for number in range(len(self._parts))
        ]
        try:
            with signals.held():
                for thread in threads:
                    thread.start()
            working = len(threads)
            while working:
                with contextlib.suppress(queue.Empty):
                    found = self._found.get(timeout=_POLL)
                    if found is None:
                        working -= 1
                    else:
                        yield found
        finally:
            self._stop.set()
        infer.raise_failed(self._errors)

    def _work(self, number: int) -> None:
        try:
            with contextlib.closing(self._parts[number]) as part:
                for found in part:
                    if not self._put(found):
                        return
        except BaseException as e:
            self._errors[number] = e
        finally:
            self._put(None)

    def _put(self, found: Found[coco.Image] | None) -> bool:
        """False where nobody waits for it any more."""
        while not self._stop.is_set():
            try:
                self._found.put(found, timeout=_POLL)
            except queue.Full:
                continue
            return True
        return False
