"""Joining the results of shards into those of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from higherhrnet.artifacts import atomic, record
from higherhrnet.dataset import coco, coco_results
from higherhrnet.dataset.shards import Shard
from higherhrnet.errors import UserError

_OWN = frozenset({"shard", "dumps"})  # fields in which shards of one work differ


def run(dataset: coco.Dataset, shards: Sequence[Path], results: Path) -> record.ResultsRecord:
    """Write ``results``, the bytes that one run over all images writes, from the shards' files; return its record.

    Raises
    ------
    UserError : shards that are missing, unfinished, changed, given twice, or of other work than the first
    """
    records = [_checked(file) for file in shards]
    parts = [Shard.parse(made.shard) for made in records]
    for file, made in zip(shards, records, strict=True):
        if different := [n for n in record.differences(records[0], made) if n not in _OWN]:
            which = ", ".join(f"another {record.DIFFERENCES[name]}" for name in different)
            raise UserError(f"{file} is not of the same work as {shards[0]} ({which}); run its shard again")
    if records[0].dataset != dataset.fingerprint:
        raise UserError(f"{shards[0]} is of another data set than {dataset.annotations}; give that with DATASET.ROOT")
    _check_complete(parts)
    left_out = sorted(index for made in records for index in made.left_out)
    if not 0 < records[0].images <= len(dataset.images) or not all(index < records[0].images for index in left_out):
        raise UserError(
            f"{shards[0]} is of {records[0].images} images, {len(left_out)} of all left out, {dataset.annotations} "
            f"lists {len(dataset.images)}; run its shard again"
        )
    by_index = {image.image_id: image.index for image in dataset.images}
    entries = {part.number: _by_image(file, by_index) for part, file in zip(parts, shards, strict=True)}
    of = parts[0].of
    merged = (
        entry
        for index in range(records[0].images)
        for entry in entries[index % of + 1].get(index, ())  # as Shard.holds has it
    )
    atomic.make_directory(results.parent)
    coco_results.write(results, merged)
    made = replace(
        records[0],
        shard="1/1",
        dumps="",
        left_out=left_out,
        sha256=atomic.sha256(results),
    )
    record.write_results(results, made)
    atomic.remove_partials_of(results, record.of_results(results))
    return made


def _checked(file: Path) -> record.ResultsRecord:
    """The record of a shard's whole, unchanged results file."""
    if not file.is_file():
        raise UserError(f"results {file} are no file; run that shard, or name its file")
    made = record.read_results(file)
    if made is None or not made.complete:
        raise UserError(f"{file} has no record of complete work beside it ({record.of_results(file).name}); run again")
    if atomic.sha256(file) != made.sha256:
        raise UserError(f"{file} has changed since its record was written; run its shard again")
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


def _by_image(file: Path, indices: dict[int, int]) -> dict[int, list[dict[str, Any]]]:
    """A results file's entries by image index."""
    found: dict[int, list[dict[str, Any]]] = {}
    for entry in coco_results.check(atomic.read_json(file, "results"), file, indices):
        found.setdefault(indices[entry["image_id"]], []).append(entry)
    return found
