"""Images per second beside the figures of accuracy: the performance files in the folder of a run's dumps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from higherhrnet.artifacts import claim, perf
from higherhrnet.artifacts.claim import Record
from higherhrnet.artifacts.work import DumpsWork, PeopleWork
from higherhrnet.errors import UserError
from higherhrnet.report import performance
from higherhrnet.report.performance import Source
from higherhrnet.report.tables import Column


@dataclass(frozen=True)
class Beside:
    """What lies beside a run's dumps."""

    columns: Sequence[Column]
    notes: Sequence[str]


def beside(dump_dir: Path, results: Path) -> Beside:
    """The columns of the performance table that are of the network which made these dumps.

    Files that no record says the work of are taken for it, and a note says so.

    Raises
    ------
    UserError : no such directory, or dumps that the results are not of, as far as records say
    """
    if not dump_dir.is_dir():
        raise UserError(f"dump directory {dump_dir} does not exist; correct --dumps")
    dumps, people = claim.read(dump_dir, DumpsWork), claim.read(results, PeopleWork)
    made = None if dumps is None else dumps.work
    if made is not None and people is not None:
        _refuse_others(dump_dir, made, results, people)
    folder = dump_dir.absolute().parent
    try:
        found = perf.find(folder, batch=None if made is None else {made.batch})
    except UserError as e:
        return Beside([], [f"no speed: {e}"])
    good, notes = performance.plausible(found, folder)
    of_it = [f for f in good if f.made is None or made is None or _is_of(f, made)]
    if not of_it:
        return Beside([], [f"no speed: the performance files in {folder} are of another model or backend"])
    unknown = sum(f.made is None for f in of_it)
    if unknown:
        notes = [*notes, f"{folder}: no record says what {unknown} of {len(of_it)} performance files are of"]
    return Beside(Source(None, of_it).columns(), notes)


def _refuse_others(dump_dir: Path, made: DumpsWork, results: Path, people: Record[PeopleWork]) -> None:
    """Raise UserError where results were made by another network than dumps, or from other pictures."""
    network, pictures = people.work.network, people.facts.pictures
    differing: list[tuple[str, object, object]] = [
        (name, value, getattr(made, name)) for name, value in network.items()
    ]
    if made.inputs is not None:
        differing.append(("data set", people.work.dataset, made.inputs.work.dataset))
        differing.append(("number of images", people.work.images, made.inputs.work.images))
        if pictures and made.inputs.pictures and made.shard == people.work.shard:  # merged results are of several
            differing.append(("content of the pictures", pictures, made.inputs.pictures))
    for name, of_results, of_dumps in differing:
        if of_results != of_dumps:
            raise UserError(
                f"{results} was not made from {dump_dir}: another {name} ({str(of_results)[:12]}, not "
                f"{str(of_dumps)[:12]}); give the dumps that these results are of"
            )


def _is_of(figure: perf.Perf, made: DumpsWork) -> bool:
    assert figure.made is not None, "the caller looked"
    work = figure.made.work
    return (work.model, work.backend) == (made.model, made.backend)
