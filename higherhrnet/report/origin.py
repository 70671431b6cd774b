"""What a column's figures are of, and the words that tell it from another column."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from higherhrnet.artifacts.figures import RANDOM, Figure, FigureWork, differing
from higherhrnet.artifacts.work import Difference

NO_RECORD = "no record"
"""Ends the label of figures that nothing says the work of, where such stand beside others."""
_HASH = 8  # characters that tell two apart


@dataclass(frozen=True)
class Origin:
    """The work and the hardware of a column."""

    work: FigureWork
    device: str

    @classmethod
    def of(cls, made: Figure | None) -> Origin | None:
        """Of what a record says, None where none does."""
        return None if made is None else cls(made.work, made.facts.device)

    def differing(self, other: Origin) -> list[Difference]:
        """In what this is not the other, the other's value as the one wanted."""
        found = differing(self.work, other.work)
        if self.device != other.device:
            found.append(Difference("hardware", self.device, other.device))
        return found


def labels(origins: Sequence[Origin | None]) -> list[str]:
    """What tells columns apart that batch size and device do not; '' where nothing needs to be told.

    ``None`` is NO_RECORD.
    """
    known = [origin for origin in origins if origin is not None]
    names = {d.name: None for a in known for b in known for d in a.differing(b)}
    shared = set.intersection(*(set(origin.work.backend.split()) for origin in known)) if known else set()
    return [
        NO_RECORD if origin is None else ", ".join(_word(name, origin, shared) for name in names) for origin in origins
    ]


def _word(name: str, origin: Origin, shared: Collection[str]) -> str:
    work = origin.work
    words = {
        "model": f"model {work.model[:_HASH]}",
        "backend": " ".join(word for word in work.backend.split() if word not in shared) or work.backend,
        "runtime": work.runtime or "runtime not known",
        "batch": f"bs{work.batch}",
        "threads": f"{work.threads} threads" if work.threads else "threads not set",
        "dtype": f"{work.dtype} input",
        "data": "random input" if work.data == RANDOM else f"data {work.data[:_HASH]}",
        "dataset": f"data set {work.dataset[:_HASH] or 'not known'}",
        "hardware": origin.device or "hardware not known",
    }
    return words[name]
