"""The results file: whether one may be written where something lies, and writing it with its record."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from higherhrnet.artifacts import atomic, claim, outputs, sources
from higherhrnet.artifacts.claim import Record
from higherhrnet.artifacts.pictures import Picture
from higherhrnet.artifacts.work import PeopleWork
from higherhrnet.dataset import coco_results
from higherhrnet.errors import UserError


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


def read(results: Path) -> list[dict[str, Any]]:
    """The entries of a results file of ours.

    One that its record tells by hash is parsed without looking for what no program here writes. Raises UserError.
    """
    made = claim.read_sound(results, PeopleWork)
    with contextlib.suppress(OSError):  # which is named below
        content = sources.read(results)
        if made is not None and hashlib.sha256(content).hexdigest() == made.facts.sha256:
            return json.loads(content)
    return sources.read_json(results, "results")


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
