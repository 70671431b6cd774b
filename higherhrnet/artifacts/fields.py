"""Dataclasses read back from JSON: a file that somebody edited must not fail later, where its field is used."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, TypeVar

from higherhrnet.errors import UserError

Kind = TypeVar("Kind")
_LARGEST = 2**53
_DEEPEST = 8  # levels of a dict


def parse(value: Any, kind: type[Kind], what: str, remedy: str) -> Kind:
    """A ``kind`` from its JSON value; fields that are dataclasses are read so too.

    Parameters
    ----------
    what : the file, for the error
    remedy : what the user may do, for the error

    Raises UserError: other fields than the dataclass's, or values of another type or that it refuses itself.
    """
    try:
        return _made(value, kind)
    except (TypeError, ValueError) as e:
        raise UserError(f"{what}: found other fields than expected ({e}); {remedy}") from e


def _made(value: Any, kind: type[Kind]) -> Kind:
    if not isinstance(value, dict):
        raise TypeError(f"{str(value)[:40]!r}")
    hints = typing.get_type_hints(kind)
    return kind(**{name: _field(item, hints[name], name) if name in hints else item for name, item in value.items()})


def _field(value: Any, hint: Any, name: str) -> Any:
    for one in typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,):
        if dataclasses.is_dataclass(one) and isinstance(one, type) and isinstance(value, dict):
            return _made(value, one)
        if _fits(value, one):
            return value
    raise TypeError(f"{name} {str(value)[:40]!r}")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value is of a field's type: str, int, bool, float, None, a list of one of these, or a dict.

    Numbers are of a size that any field can have, and texts such as can be written.
    """
    if hint is float:
        return type(value) in {int, float} and -_LARGEST < value < _LARGEST  # which NaN is not
    if hint is int:
        return type(value) is int and -_LARGEST < value < _LARGEST
    if hint is str:
        return type(value) is str and not any("\ud800" <= character <= "\udfff" for character in value)
    if typing.get_origin(hint) is list:
        return type(value) is list and all(_fits(item, typing.get_args(hint)[0]) for item in value)
    if typing.get_origin(hint) is dict:
        return type(value) is dict and _is_plain(value, _DEEPEST)
    return type(value) is hint


def _is_plain(value: Any, deepest: int) -> bool:
    """Whether all in a value of any JSON type is of a size and depth that programs here write."""
    if isinstance(value, dict):
        return deepest > 0 and all(_fits(k, str) and _is_plain(v, deepest - 1) for k, v in value.items())
    if isinstance(value, list):
        return deepest > 0 and all(_is_plain(item, deepest - 1) for item in value)
    return value is None or type(value) is bool or _fits(value, str) or _fits(value, float)
