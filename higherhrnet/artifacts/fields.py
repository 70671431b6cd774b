"""Dataclasses read back from JSON: a file that somebody edited must not fail later, where its field is used."""

from __future__ import annotations

import typing
from typing import Any, TypeVar

from higherhrnet.errors import UserError

Kind = TypeVar("Kind")
_LARGEST = 2**53


def parse(value: Any, kind: type[Kind], what: str, instead: str) -> Kind:
    """A ``kind`` from its JSON value.

    Parameters
    ----------
    what : the file, for the error
    instead : what the user may do, for the error

    Raises
    ------
    UserError : other fields than the dataclass's, or values of another type or that it refuses itself
    """
    try:
        hints = typing.get_type_hints(kind)
        if wrong := [name for name, hint in hints.items() if name in value and not _fits(value[name], hint)]:
            raise TypeError(f"{wrong[0]} {str(value[wrong[0]])[:40]!r}")
        return kind(**value)
    except (TypeError, ValueError, UserError) as e:  # the last of a record in the record
        raise UserError(f"{what}: found other fields than a {kind.__name__}'s ({e}); {instead}") from e


def _fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value is of a field's type: str, int, bool, float, a list of one of these, a dict, or a union.

    Numbers are of a size that any field can have, and texts such as can be written.
    """
    if hint is float:
        return type(value) in {int, float} and -_LARGEST < value < _LARGEST  # which NaN is not
    if hint is int:
        return type(value) is int and -_LARGEST < value < _LARGEST
    if hint is str:
        return type(value) is str and not any("\ud800" <= character <= "\udfff" for character in value)
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is list:
        return type(value) is list and all(_fits(item, arguments[0]) for item in value)
    if typing.get_origin(hint) is dict:
        return type(value) is dict
    return any(_fits(value, one) for one in arguments) if arguments else type(value) is hint
