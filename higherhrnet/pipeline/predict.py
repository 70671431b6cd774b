"""Sources to people: what ``predict`` does, resumed where a stopped run was."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from higherhrnet.artifacts import atomic, claim, outputs
from higherhrnet.artifacts.journal import Journal
from higherhrnet.artifacts.pictures import Picture as Known
from higherhrnet.artifacts.seen import Stamp
from higherhrnet.artifacts.work import PosesWork
from higherhrnet.dataset.joints import JointSet
from higherhrnet.errors import BadImageError
from higherhrnet.image import reader
from higherhrnet.pipeline import poses, sources
from higherhrnet.pipeline.people import Filter, People, of_found
from higherhrnet.pipeline.sources import CAMERA, PICTURE, Place, Reading, Source
from higherhrnet.pipeline.stream import Found, Picture, Stream
from higherhrnet.pipeline.tracks import Trackers

KIND = "output of predict"
JOURNAL, LOGS = "poses.jsonl", "logs"
_FRAME, _END = "frame", "end"  # in place of a hash: a video is known by its stamp alone


@dataclass(frozen=True)
class PredictJob:
    """What to find people in, and what to do with them."""

    names: Sequence[str]
    """As sources.find takes them."""
    reading: Reading
    chosen: Filter
    skeleton: JointSet
    track: bool = False
    """Follow people through each video or camera."""


@dataclass
class Summary:
    """What a run did."""

    pictures: int = 0
    people: int = 0
    kept: int = 0
    """Pictures that an earlier run had done."""
    bad: list[str] = field(default_factory=list)
    """What could not be read, and why."""
    without_audio: list[str] = field(default_factory=list)


Done = Callable[[Summary], object]


def lines(stream: Stream, job: PredictJob, say: Callable[[str], object], done: Done) -> Summary:
    """Give ``say`` a line of JSON of each picture; nothing is kept."""
    summary, people_of = Summary(), _PeopleOf(job)
    for found in stream.run(_all(job, lambda source: lambda place: True), live=_is_live(job)):
        if (people := people_of(found, summary)) is not None:
            say(poses.line(found.key, people))
            done(summary)
    return summary


def files(
    stream: Stream,
    job: PredictJob,
    folder: Path,
    kinds: Sequence[str],
    work: PosesWork,
    done: Done,
    *,
    overwrite: bool = False,
) -> Summary:
    """Write files of the ``kinds`` into a folder; what a stopped run has done there of the same work is kept.

    Raises
    ------
    UserError : a folder of others or of other work, a full disk, a network that does not run
    """
    outputs.claim_folder(folder, "--output", KIND)
    summary, people_of = Summary(), _PeopleOf(job)
    with (
        Journal(folder / JOURNAL, claim.Record(work), overwrite=overwrite) as journal,
        poses.Along(folder, kinds, overwrite=overwrite) as along,
    ):
        poses.check(folder, kinds, overwrite=overwrite)
        atomic.remove_partials([folder, *filter(Path.is_dir, folder.iterdir())])  # of a run that was killed
        ledger = _Ledger(journal, folder, job.reading.stride, whole=job.track or poses.VIDEO in kinds)
        before = len(journal)
        live = _is_live(job)
        for found in stream.run(_all(job, ledger.wanted), live=live, keep_pixels=along.draws):
            place = found.key
            people = people_of(found, summary)
            if found.error is not None:
                along.end()
                ledger.end(place)
                continue
            assert people is not None
            along.add(place, people, found.pixels)
            journal.add(place.index, ledger.known(place.source, found.note), poses.entries(place, people))
            done(summary)
        along.end()
        summary.without_audio = along.without_audio
        summary.kept = ledger.kept if before else 0
        summary.people = poses.write(folder, kinds, ledger.entries(), job.skeleton.names, overwrite=overwrite)
    return summary


class _PeopleOf:
    """From what the stream found to people as they are asked for."""

    def __init__(self, job: PredictJob) -> None:
        self._job = job
        self._trackers = Trackers(job.skeleton.sigmas)

    def __call__(self, found: Found[Place], summary: Summary) -> People | None:
        """None where there is no picture; bad ones are put into the summary, others counted there."""
        place, job = found.key, self._job
        if found.error is not None:
            if not place.is_last:
                summary.bad.append(str(found.error))
            return None
        people = of_found(found, job.skeleton, job.chosen)
        if job.track and place.source.kind != PICTURE:
            people = self._trackers.follow(people, place.source)
        summary.pictures += 1
        summary.people += len(people)
        return people


def _is_live(job: PredictJob) -> bool:
    return any(name.startswith("camera:") or name == sources.LIST for name in job.names)


def _all(
    job: PredictJob, wanted: Callable[[Source], Callable[[Place], bool] | BadImageError | None]
) -> Iterator[Picture[Place]]:
    """The pictures of all sources, an error in the place of what is none; of a source that is not wanted nothing."""
    for number, source in enumerate(sources.find(job.names)):
        test = source if isinstance(source, BadImageError) else wanted(source)
        if isinstance(test, BadImageError):
            yield Picture(Place(Source(number, "", PICTURE)), "", _raising(test))
        elif test is not None:
            assert isinstance(source, Source)
            yield from sources.pictures(source, job.reading, test)


def _raising(error: BadImageError) -> Callable:
    def read() -> tuple:
        raise error

    return read


class _Ledger:
    """What of the sources is done already.

    A picture is known by its content. A video is known by its stamp: each of its frames has that in the journal, and
    its end has a line of its own, so that a video that is done is not decoded again. Both are known by their names too,
    which results and files made of them have. Where frames depend on those before (``whole``), a video that is not done
    is begun again. A camera is another one each time.
    """

    def __init__(self, journal: Journal[PosesWork], folder: Path, stride: int, *, whole: bool) -> None:
        self._journal, self._folder, self._whole = journal, Path(os.path.realpath(folder)), whole
        self._stride = stride
        self._stamps: dict[int, Stamp | None] = {}  # of the sources of this run, by number; None: a picture
        self.kept = 0

    def wanted(self, source: Source) -> Callable[[Place], bool] | BadImageError | None:
        """Which of a source's pictures are to be done; a reason not to read it at all, None where all are done."""
        if source.kind == CAMERA:
            self._stamps[source.number] = Stamp(0, time.time_ns(), 0, 0)
            return lambda place: True
        path = Path(source.name)
        if Path(os.path.realpath(path)).is_relative_to(self._folder):  # resolve() raises for links in a circle
            return BadImageError(f"{source.name} is in --output {self._folder}; give another --output")
        if source.kind == PICTURE:
            self._stamps[source.number] = None
            return self._is_new_picture
        stamp = reader.stamp(path) or Stamp(0, 0, 0, 0)
        self._stamps[source.number] = stamp
        if self._journal.pictures.get(source.index) == self._ended(source, stamp):
            self.kept += self._count(source)
            return None
        if self._whole:
            return lambda place: True
        return lambda place: not self._is_known_frame(place)

    def known(self, source: Source, picture: Known | None = None) -> Known:
        """What the journal keeps of a picture that was read, or of a frame in place of one."""
        if picture is not None:
            return Known(picture.stamp, f"{picture.sha256} {_called(source)}")
        stamp = self._stamps[source.number]
        assert stamp is not None
        return Known(stamp, f"{_FRAME} {_called(source)}")

    def end(self, place: Place) -> None:
        """Keep that a video is done, or that a picture is bad."""
        stamp = self._stamps.get(place.source.number)
        if place.is_last and stamp is not None:
            self._journal.add(place.source.index, self._ended(place.source, stamp))
        elif stamp is None:
            self._journal.forget(place.index)

    def entries(self) -> Iterator[list[dict]]:
        """The entries of each picture of this run's sources, in their order."""
        for index in self._journal.indices():
            number, frame = divmod(index, sources.FRAMES)
            known = self._journal.pictures.get(index)
            if frame and number in self._stamps and known is not None:
                stamp = self._stamps[number]
                is_frame = known.sha256.startswith(f"{_FRAME} ")
                if is_frame == (stamp is not None) and stamp in {None, known.stamp}:
                    yield self._journal.people(index)

    def _ended(self, source: Source, stamp: Stamp) -> Known:
        """What the journal keeps of a video that is done: other sources in another order may take frames' places."""
        return Known(stamp, f"{_END} of {self._count(source)} {_called(source)}")

    def _count(self, source: Source) -> int:
        """Frames of a video in the journal, from the first up to one that is not there."""
        frame, pictures, count = self.known(source), self._journal.pictures, 0
        while pictures.get(source.index + 1 + count * self._stride) == frame:
            count += 1
        return count

    def _is_new_picture(self, place: Place) -> bool:
        known = self._journal.pictures.get(place.index)
        sha256, _, called = ("", "", "") if known is None else known.sha256.partition(" ")
        if known is None or called != _called(place.source):
            return True
        if not reader.is_still(place.source.name, Known(known.stamp, sha256)):
            return True
        self.kept += 1
        return False

    def _is_known_frame(self, place: Place) -> bool:
        if self._journal.pictures.get(place.index) != self.known(place.source):
            return False
        self.kept += 1
        return True


def _called(source: Source) -> str:
    return f"{source.stem} {source.name}"
