"""The results file: whether one may be written where something lies, and writing it with its record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from higherhrnet.artifacts import atomic, claim, outputs, sources
from higherhrnet.artifacts.claim import Record
from higherhrnet.artifacts.pictures import Picture, digest_of
from higherhrnet.artifacts.work import PeopleWork
from higherhrnet.dataset import coco, coco_results
from higherhrnet.dataset.shards import Shard
from higherhrnet.errors import BadImageError, UserError
from higherhrnet.image import reader


def check(results: Path, *, overwrite: bool, inputs: Sequence[Path] = ()) -> None:
    """Refuse results that this program did not make, as of the official code, which writes them to the same place.

    So with what lies where their record goes and, of ``run``, the table of their pictures. ``inputs`` are never
    replaced.

    Raises
    ------
    UserError : saying what is there
    """
    outputs.check(results, "OUTPUT_DIR", ours=_is_ours, inputs=inputs, overwrite=overwrite)
    if not overwrite:
        claim.read(results, PeopleWork)
    check_table(results, overwrite=overwrite)


def check_again(results: Path, *, overwrite: bool) -> None:
    """Do as ``check`` when people are found: what somebody put there while they were looked for stays, and so do they.

    Raises
    ------
    UserError : saying what is there
    """
    try:
        check(results, overwrite=overwrite)
    except UserError as e:
        what, _, _ = str(e).rpartition("; ")  # what helps before any work would have it done again
        raise UserError(
            f"{what}; it came while this command was at work: move it away and run again, what is done is kept"
        ) from e


def check_table(results: Path, *, overwrite: bool = False) -> None:
    """Refuse to write the table of their pictures where something of others lies."""
    outputs.check(table_of(results), "OUTPUT_DIR", ours=_is_table, overwrite=overwrite)


def table_of(results: Path) -> Path:
    """Where ``run`` writes the table of the pictures that results are of."""
    return results.with_suffix(".pictures.json")


def read_table(results: Path) -> dict[int, Picture]:
    """The pictures of that table by index; none of one that is not there or damaged: they are read again then."""
    try:
        rows = sources.read_json(table_of(results), "table of pictures")
    except UserError:
        return {}
    entries = rows.items() if isinstance(rows, dict) else ()
    return {int(index): Picture.of_row(row) for index, row in entries if index.isdecimal() and Picture.is_row(row)}


def write_table(results: Path, pictures: Mapping[int, Picture]) -> None:
    """Write that table."""
    atomic.write_json(table_of(results), {str(index): picture.row() for index, picture in pictures.items()})


def images_of(made: Record[PeopleWork], dataset: coco.Dataset) -> list[coco.Image]:
    """The images that results are over, by their record."""
    left_out = {*made.facts.left_out, *made.facts.without_dumps}
    images = Shard.parse(made.work.shard).select(dataset.images[: made.work.images])
    return [image for image in images if image.index not in left_out]


def look(images: Iterable[coco.Image], location: coco.Location, known: Mapping[int, Picture]) -> dict[int, Picture]:
    """The pictures of images as they are now, by index: read, but for those that ``known`` has as they are.

    Raises
    ------
    BadImageError : one that cannot be read
    """
    return {image.index: reader.picture(location.picture(image), known.get(image.index)) for image in images}


def check_pictures(results: Path, made: Record[PeopleWork], dataset: coco.Dataset, location: coco.Location) -> str:
    """Refuse pictures, here now, that are others than those that results are of.

    They are read, but for those that the table beside results knows. Returns why that could not be told, '' where it
    could, or where the record does not say which they were.

    Raises
    ------
    UserError : with both digests
    """
    if not made.facts.pictures:
        return ""
    try:
        found = digest_of(look(images_of(made, dataset), location, read_table(results)))
    except BadImageError as e:
        return f"whether {results} is of the pictures in {location.images} cannot be told: {e}"
    if found != made.facts.pictures:
        raise UserError(
            f"{results} is of other pictures than those in {location.images} now "
            f"({made.facts.pictures[:8]}, not {found[:8]}); give those with DATASET.ROOT, or find people in these"
        )
    return ""


def write(
    results: Path, entries: Iterable[dict[str, Any]], record: Record[PeopleWork], *, overwrite: bool = False
) -> Record[PeopleWork]:
    """Write results and their record, now complete, which is returned.

    At no moment do a record and results of other bytes lie side by side, not after a kill either: what differs from
    its record was changed by others.

    Raises
    ------
    UserError : as ``check_again``
    """
    check_again(results, overwrite=overwrite)
    with atomic.writing(results) as partial:
        with partial.open("w", encoding="utf-8") as file:
            coco_results.dump(entries, file)
        made = replace(record, facts=replace(record.facts, sha256=atomic.sha256(partial)), complete=True)
        check_again(results, overwrite=overwrite)  # writing many people takes seconds
        results.unlink(missing_ok=True)
        claim.write(results, made)
    atomic.remove_partials_of(results, claim.record_of(results))
    return made


def record(results: Path, wanted: Record[PeopleWork]) -> Record[PeopleWork]:
    """The record beside results that are complete and of the work wanted.

    Raises
    ------
    UserError : there is none, or it is of other work: somebody has replaced them since
    """
    made = claim.read(results, PeopleWork)
    if made is None or not made.complete or made.stale(wanted):
        raise UserError(_replaced(results))
    return made


def read(results: Path, made: Record[PeopleWork]) -> list[dict[str, Any]]:
    """The entries of results, read once, and their bytes compared with what the record says of them.

    Raises
    ------
    UserError : other results lie there, or none
    """
    try:
        content = sources.read(results)
    except OSError as e:
        raise UserError(_replaced(results)) from e
    if hashlib.sha256(content).hexdigest() != made.facts.sha256:
        raise UserError(_replaced(results))
    entries: list[dict[str, Any]] = json.loads(content)
    return entries


def _replaced(results: Path) -> str:
    return (
        f"results {results} were replaced, written to or removed after they were complete, so figures would not be of "
        f"them; move away what is there and run again, or give another path with OUTPUT_DIR"
    )


def _is_ours(results: Path) -> bool:
    """Whether results are those of the record beside them, or what a crash of the machine left of them."""
    made = claim.read(results, PeopleWork)
    if made is None:
        return False
    if atomic.sha256(results) == made.facts.sha256 or coco_results.is_cut(results):
        return True
    raise UserError(
        f"results {results} have changed since their record was written; give another path with OUTPUT_DIR, or "
        f"--overwrite to replace them"
    )


def _is_table(file: Path) -> bool:
    try:
        rows = sources.read_json(file, "table of pictures")
    except UserError:
        return False
    return isinstance(rows, dict) and all(map(Picture.is_row, rows.values()))
