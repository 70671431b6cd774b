"""What ``predict`` writes: files as people are found, and, from the journal at the end, one of everybody."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from higherhrnet.artifacts import atomic, outputs
from higherhrnet.dataset import coco_results
from higherhrnet.image import encoder, video
from higherhrnet.pipeline.people import People
from higherhrnet.pipeline.sources import PICTURE, Place

JSON, OPENPOSE, CSV, IMAGES, VIDEO = KINDS = ("json", "openpose", "csv", "images", "video")
"""What can be saved."""
ALONG = frozenset({OPENPOSE, IMAGES, VIDEO})
"""What is written while people are found."""
_DRAWING = "people that predict found, drawn"
RESULTS, TABLE = "poses.json", "poses.csv"
COLUMNS = ("source", "frame", "time", "track", "person", "joint", "x", "y", "score")


class Along:
    """Writes files of each picture as it comes; to be used in a ``with`` block."""

    def __init__(self, folder: Path, kinds: Iterable[str], *, overwrite: bool = False) -> None:
        """Make the folders of the ``kinds`` in ``folder``; ``overwrite`` replaces pictures of others in them."""
        self._overwrite = overwrite
        self._folders = {kind: folder / kind for kind in kinds if kind in ALONG}
        for made in self._folders.values():
            atomic.refuse_link(made)
            atomic.make_directory(made)
        self._video: contextlib.ExitStack | None = None
        self._writer: video.Writer | None = None
        self.without_audio: list[str] = []
        """Drawn videos whose source has audio of a codec that .mp4 cannot hold."""

    @property
    def draws(self) -> bool:
        """Whether pixels are needed."""
        return bool({IMAGES, VIDEO} & self._folders.keys())

    def __enter__(self) -> Along:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._video is not None:
            self._video.__exit__(kind, error, trace)

    def add(self, place: Place, people: People, pixels: np.ndarray | None) -> None:
        """Write what is asked for of one picture."""
        if OPENPOSE in self._folders:
            atomic.write_text(self._folders[OPENPOSE] / f"{place.stem}_keypoints.json", openpose(people))
        if not self.draws:
            return
        assert pixels is not None
        drawn = people.draw(pixels)
        if IMAGES in self._folders:
            file = self._folders[IMAGES] / f"{place.stem}.jpg"
            outputs.check(file, "--output", ours=outputs.marked(_DRAWING), overwrite=self._overwrite)
            atomic.write_bytes(file, encoder.jpeg(cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), _DRAWING))
        if VIDEO in self._folders and place.source.kind != PICTURE:
            is_first, writer = self._writer is None, self._drawing(place)
            writer.write(drawn, place.frame / _RATE if place.time is None else place.time)
            if is_first and writer.has_lost_audio:
                self.without_audio.append(place.source.name)

    def end(self) -> None:
        """Close the drawn video of a source that has ended, if there is one."""
        if self._video is not None:
            stack, self._video, self._writer = self._video, None, None
            stack.close()

    def _drawing(self, place: Place) -> video.Writer:
        """The open video of a place's source."""
        if self._video is None or self._writer is None:
            source = place.source
            with contextlib.ExitStack() as stack:
                partial = stack.enter_context(atomic.writing(self._folders[VIDEO] / f"{source.stem}.mp4"))
                self._writer = stack.enter_context(_closing(video.Writer(partial, source.path)))
                self._video = stack.pop_all()
        return self._writer


_RATE = 25  # frames a second that a camera's pictures are shown at


@contextlib.contextmanager
def _closing(writer: video.Writer) -> Iterator[video.Writer]:
    try:
        yield writer
        writer.close()
    except BaseException:
        writer.abandon()
        raise


def openpose(people: People) -> str:
    """OpenPose's JSON of one picture, with this network's joints in their order; 0, 0, 0 where one was not found."""
    found = np.where(people.keypoints[:, :, 2:] > 0, people.keypoints, 0)
    ids = np.full(len(people), -1) if people.tracks is None else people.tracks
    rows = [
        {"person_id": [int(number)], "pose_keypoints_2d": person.ravel().tolist()}
        for number, person in zip(ids, found, strict=True)
    ]
    return json.dumps({"version": 1.3, "people": rows}) + "\n"


def entries(place: Place, people: People) -> list[dict[str, Any]]:
    """COCO results entries of one picture's people, with where they are from; ``image_id`` is set at the end."""
    where: dict[str, Any] = {"source": place.source.name, "frame": place.frame}
    if place.time is not None:
        where["time"] = place.time
    return [{**entry, **where} for entry in people.to_coco()]


def line(place: Place, people: People) -> str:
    """One picture as a line of JSON."""
    width, height = people.size
    rows = []
    for entry in people.to_coco():
        del entry["image_id"], entry["category_id"]
        rows.append(entry)
    return json.dumps(
        {
            "source": place.source.name,
            "frame": place.frame,
            "time": place.time,
            "width": width,
            "height": height,
            "people": rows,
        }
    )


def check(folder: Path, kinds: Iterable[str], *, overwrite: bool) -> None:
    """Refuse, before anybody is found, to ``write`` over what somebody changed or put there.

    Raises
    ------
    UserError : saying what is there, unless ``overwrite``
    """
    for kind, name in ((JSON, RESULTS), (CSV, TABLE)):
        if kind in kinds:
            outputs.check(folder / name, "--output", ours=outputs.is_remembered, overwrite=overwrite)


def write(
    folder: Path,
    kinds: Iterable[str],
    pictures: Iterable[list[dict[str, Any]]],
    joints: tuple[str, ...],
    *,
    overwrite: bool = False,
) -> int:
    """Write the files of everybody from each picture's entries, in order; return the number of people.

    ``image_id`` counts the pictures from 0. Raises UserError as ``check``.
    """
    chosen = set(kinds)
    check(folder, chosen, overwrite=overwrite)
    with contextlib.ExitStack() as stack:
        table = stack.enter_context(_table(folder / TABLE, joints)) if CSV in chosen else None
        count = 0

        def numbered() -> Iterator[dict[str, Any]]:
            nonlocal count
            for number, people in enumerate(pictures):
                for place, entry in enumerate(people):
                    entry["image_id"] = number
                    if table is not None:
                        table(place, entry)
                    count += 1
                    yield entry

        if JSON in chosen:
            with _remembered(folder / RESULTS) as partial, partial.open("w", encoding="utf-8") as file:
                coco_results.dump(numbered(), file)
        else:
            for _ in numbered():
                pass
    return count


@contextlib.contextmanager
def _remembered(file: Path) -> Iterator[Path]:
    """As atomic.writing, of a file that is known for ours by its content."""
    with atomic.writing(file) as partial:
        yield partial
        sha256 = atomic.sha256(partial)
        outputs.remember(file, sha256, alone=False)  # a kill leaves the one or the other
    outputs.remember(file, sha256, alone=True)


@contextlib.contextmanager
def _table(file: Path, joints: tuple[str, ...]) -> Iterator[Any]:
    """A function that adds a person's rows."""
    with (
        _remembered(file) as partial,
        partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as text,
    ):
        rows = csv.writer(text)
        rows.writerow(COLUMNS)

        def add(person: int, entry: dict[str, Any]) -> None:
            where = entry["source"], entry["frame"], entry.get("time", ""), entry.get("track_id", "")
            for joint, (x, y, value) in zip(joints, np.reshape(entry["keypoints"], (-1, 3)).tolist(), strict=True):
                at = (x, y) if value > 0 else ("", "")
                rows.writerow((*where, person, joint, *at, value))

        yield add
