"""The whole chain over a data set: its working folder, its results, and whether they are there already."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from higherhrnet import decode
from higherhrnet.artifacts import atomic, claim, lock
from higherhrnet.artifacts.claim import Record
from higherhrnet.artifacts.journal import Journal, is_begun, work_of
from higherhrnet.artifacts.pictures import digest_of
from higherhrnet.artifacts.work import Difference, DumpsWork, Inputs, PeopleWork
from higherhrnet.backends.base import Backend
from higherhrnet.dataset import coco
from higherhrnet.dataset.shards import Shard
from higherhrnet.errors import BadImageError, UserError
from higherhrnet.image import reader
from higherhrnet.pipeline.steps import Settings
from higherhrnet.stages import postprocess, preprocess, results_file

CHUNKS, LOGS, JOURNAL = "chunks", "logs", "people.jsonl"
"""What a working folder holds."""
_MADE = ".made_by_run"
"""In one that a run made, which is removed at the end; a user's own stays."""


def wanted(
    dataset: coco.Dataset, settings: Settings, backend: Backend, *, images: int, shard: Shard
) -> Record[PeopleWork]:
    """What the results of a run will be of: the work that the six scripts' would be of."""
    job = preprocess.PreprocessJob(
        settings.location,
        settings.short_side,
        Path(),
        None,
        shard=shard,
        dtype=settings.input_dtype,
        exif=settings.exif,
        scale=settings.plan.scale(1),
    )
    inputs = Inputs(preprocess.work(dataset, job, images, flip=False), pictures="")
    dumps = DumpsWork(
        inputs,
        indices=[],
        flip=False,
        shard=str(shard),
        model=settings.model_hash,
        backend=backend.name,
        runtime=backend.runtime,
        batch=backend.batch,
        dtype=settings.dump_dtype,
    )
    options = postprocess.decode_options(settings.options, settings.plan, settings.category)
    made = PeopleWork.of(
        dumps, dataset=dataset.fingerprint, images=images, shard=str(shard), options=options, version=decode.VERSION
    )
    return Record(made)


def why_to_make(
    results: Path,
    work: Record[PeopleWork],
    images: Sequence[coco.Image],
    location: coco.Location,
    *,
    overwrite: bool,
    exif: bool = False,
) -> str | None:
    """In what results that are there are of other work, '' where there are none; None for up-to-date ones.

    A picture is read only where the table of those that were read does not know it with its size and time.

    Raises
    ------
    UserError : a damaged record, unless it is to be overwritten
    """
    made = (claim.read_sound if overwrite else claim.read)(results, PeopleWork)
    if made is None:
        return ""
    if stale := made.stale(work):
        return claim.reasons(stale)
    if overwrite or not claim.is_complete(results, work):
        return ""
    return _changed(results, made, images, location, exif=exif)


def _changed(
    results: Path, made: Record[PeopleWork], images: Sequence[coco.Image], location: coco.Location, *, exif: bool
) -> str | None:
    """In what pictures have changed since complete results were made of them; None where they have not."""
    before = (image for image in images if image.index in made.facts.left_out)
    left_out = [image.index for image in before if not _is_good(image, location, exif=exif)]
    if left_out != made.facts.left_out:
        return str(Difference("left_out", made.facts.left_out, left_out))
    known = results_file.read_table(results)
    try:
        pictures = results_file.look([image for image in images if image.index not in left_out], location, known)
    except BadImageError:  # the run itself names it
        return ""
    if (found := digest_of(pictures)) != made.facts.pictures:
        return str(Difference("pictures", made.facts.pictures, found))
    if pictures != known:
        results_file.check_table(results)
        results_file.write_table(results, pictures)
    return None


def finish(
    results: Path,
    journal: Journal[PeopleWork],
    work: Record[PeopleWork],
    images: Sequence[coco.Image],
    calibrated: Collection[str] = (),
    *,
    overwrite: bool,
) -> None:
    """Write the results of a journal that holds all images, and the table of the pictures that they are of.

    ``calibrated`` are the SHA-256 of the pictures that the network was calibrated on.

    Raises
    ------
    UserError : something of others has come to where they go, unless ``overwrite``; the journal stays
    """
    results_file.check_again(results, overwrite=overwrite)
    pictures = {index: journal.pictures[index] for index in sorted(journal.pictures)}
    seen = [index for index, picture in pictures.items() if picture.sha256 in calibrated]
    facts = dataclasses.replace(work.facts, pictures=digest_of(pictures), calibrated_on=seen)
    results_file.write_table(results, pictures)
    postprocess.finish(results, journal, dataclasses.replace(work, facts=facts), images, overwrite=overwrite)


def forget_changed(
    journal: Journal[PeopleWork], images: Iterable[coco.Image], location: coco.Location, *, exif: bool = False
) -> int:
    """Take images whose pictures have changed since for not done; return how many."""

    def has_changed(image: coco.Image) -> bool:
        if image.index in journal.left_out:
            return _is_good(image, location, exif=exif)
        known = journal.pictures.get(image.index)
        return known is not None and not reader.is_still(location.picture(image), known)

    changed = [image.index for image in images if has_changed(image)]
    for index in changed:
        journal.forget(index)
    return len(changed)


def _is_good(image: coco.Image, location: coco.Location, *, exif: bool) -> bool:
    """Whether an image that was left out as a bad one could be read now."""
    try:
        preprocess.read(location, image, exif=exif)
    except BadImageError:
        return False
    return True


@contextlib.contextmanager
def working(work: Path, record: Record[PeopleWork], *, overwrite: bool) -> Iterator[Journal[PeopleWork]]:
    """Hold the working folder, and open its journal; a folder of others' files, which has none, is not touched."""
    is_new = not work.exists()
    atomic.make_directory(work)
    with lock.held(work, instead="give another --work"):
        if is_new:
            (work / _MADE).touch()
        found = _names(work) - {_MADE}
        # A run that was killed while it began its journal has made nothing else.
        begun = found == {JOURNAL} and is_begun(work / JOURNAL)
        if found and not begun and work_of(work / JOURNAL, PeopleWork) is None:
            raise UserError(f"--work {work} holds files of others; give a new folder, or an empty one")
        if overwrite:
            remove_folders(work)
            (work / JOURNAL).unlink(missing_ok=True)
        with Journal(work / JOURNAL, record) as journal:
            atomic.make_directory(work / CHUNKS)
            yield journal


def clear(work: Path, record: Record[PeopleWork]) -> None:
    """Remove a working folder that a run made and that holds nothing more.

    Before that go the things that a run of this work left there which was killed in its last two steps.
    """
    left = work_of(work / JOURNAL, PeopleWork)
    if left is not None and not left.stale(record):
        with lock.held(work, instead="give another --work"):
            remove_folders(work)
            (work / JOURNAL).unlink()
    with contextlib.suppress(OSError):  # not there, or no folder
        if _names(work) == {_MADE}:
            (work / _MADE).unlink()
            work.rmdir()


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def remove_folders(work: Path) -> None:
    """Remove the chunks and logs of a working folder."""
    for folder in (CHUNKS, LOGS):
        atomic.remove_folder(work / folder)
