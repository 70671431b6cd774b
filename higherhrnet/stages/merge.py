"""Joining the results of shards into those of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from higherhrnet.artifacts import atomic, claim, seen, sources
from higherhrnet.artifacts.claim import Facts, Record
from higherhrnet.artifacts.pictures import combine
from higherhrnet.artifacts.work import PeopleWork, differences
from higherhrnet.dataset import coco, coco_results
from higherhrnet.dataset.shards import ALL, Shard
from higherhrnet.errors import UserError
from higherhrnet.stages import results_file


def run(
    dataset: coco.Dataset,
    location: coco.Location,
    shards: Sequence[Path],
    results: Path,
    *,
    joints: int,
    overwrite: bool,
) -> tuple[Record[PeopleWork], list[str]]:
    """Write ``results``, the bytes that one run over all images writes, from the shards' files.

    ``joints`` is the number of a person's; ``overwrite`` replaces what others have put there meanwhile. Each shard
    knows its own pictures alone: whether all are of one data set is told by those at ``location``, if they are there.

    Returns
    -------
    The results' record, and of which shards that could not be told, and why

    Raises
    ------
    UserError : shards that are missing, unfinished, changed, given twice, of other work than the first, or of other
        pictures than there are
    """
    stamps = seen.look(shards) if all(file.is_file() for file in shards) else {}  # else the next line says it
    records = [_checked(file) for file in shards]
    first = records[0].work
    parts = [Shard.parse(made.work.shard) for made in records]
    for file, made in zip(shards, records, strict=True):
        if different := differences(replace(made.work, shard=first.shard), first):
            raise UserError(
                f"{file} is not of the same work as {shards[0]}: {claim.reasons(different)}; run its shard again"
            )
    if first.dataset != dataset.fingerprint:
        raise UserError(f"{shards[0]} is of another data set than {dataset.annotations}; give that with DATASET.ROOT")
    _check_complete(parts)
    left_out = sorted(index for made in records for index in made.facts.left_out)
    if not 0 < first.images <= len(dataset.images) or not all(index < first.images for index in left_out):
        raise UserError(
            f"{shards[0]} is of {first.images} images, {len(left_out)} of all left out, {dataset.annotations} "
            f"lists {len(dataset.images)}; run its shard again"
        )
    notes = [
        results_file.check_pictures(file, made, dataset, location) for file, made in zip(shards, records, strict=True)
    ]
    by_index = {image.image_id: image.index for image in dataset.images}
    entries = {
        part.number: _by_image(file, by_index, joints, dataset.person) for part, file in zip(parts, shards, strict=True)
    }
    seen.check(stamps, stamps, "results file")
    of = parts[0].of
    merged = (
        entry
        for index in range(first.images)
        for entry in entries[index % of + 1].get(index, ())  # as Shard.holds has it
    )
    atomic.make_directory(results.parent)
    facts = Facts(
        pictures=combine(made.facts.pictures for made in records),
        left_out=left_out,
        without_dumps=sorted(index for made in records for index in made.facts.without_dumps),
        calibrated_on=sorted(index for made in records for index in made.facts.calibrated_on),
    )
    made = Record(replace(first, shard=str(ALL)), facts)
    return results_file.write(results, merged, made, overwrite=overwrite), list(filter(None, notes))


def _checked(file: Path) -> Record[PeopleWork]:
    """The record of a shard's whole, unchanged results file."""
    if not file.is_file():
        raise UserError(f"results {file} are no file; run that shard, or name its file")
    made = claim.read(file, PeopleWork)
    if made is None or not made.complete:
        raise UserError(f"{file} has no record of complete work beside it ({claim.record_of(file).name}); run again")
    if atomic.sha256(file) != made.facts.sha256:
        raise UserError(f"{file} has changed since its record was written; run its shard again with --overwrite")
    return made


def _check_complete(parts: Sequence[Shard]) -> None:
    counts = sorted({part.of for part in parts})
    if len(counts) > 1:
        raise UserError(f"found shards of {' and of '.join(map(str, counts))} parts, expected one kind; name the files")
    numbers = [part.number for part in parts]
    if twice := sorted({n for n in numbers if numbers.count(n) > 1}):
        raise UserError(f"shard {twice[0]}/{counts[0]} is given {numbers.count(twice[0])} times; give each once")
    if missing := sorted(set(range(1, counts[0] + 1)).difference(numbers)):
        raise UserError(f"shards {', '.join(f'{n}/{counts[0]}' for n in missing)} are missing; run them, then merge")


def _by_image(file: Path, indices: dict[int, int], joints: int, category: int) -> dict[int, list[dict[str, Any]]]:
    """A results file's entries by image index."""
    found: dict[int, list[dict[str, Any]]] = {}
    entries = sources.read_json(file, "results")
    for entry in coco_results.check(
        entries, file, indices, joints=joints, category=category, remedy="run the shard again"
    ):
        found.setdefault(indices[entry["image_id"]], []).append(entry)
    return found
