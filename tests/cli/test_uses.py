"""The table of flags: no flag is missing from it, none is taken where it would do nothing, and the page shows it."""

from __future__ import annotations

import argparse
import functools
import importlib
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from higherhrnet.backends import choices, trtexec
from higherhrnet.cli import flags, main, uses
from higherhrnet.cli.uses import USES, Use
from higherhrnet.errors import UserError
from tests.support.datasets import ROOT, TINY_CONFIG

REQUIRED = {"dataset_info": ["bin", "missing", "list"], "predict": ["missing.jpg"]}
"""Positional arguments."""
UNFIT = {("picture",): "missing.mp4", ("video", "camera"): "missing.jpg"}
"""Sources that are of none of these kinds."""
NOT_BACKENDS = {"auto"}


@functools.cache
def parser(command: str) -> argparse.ArgumentParser:
    """A command's own parser."""
    made: list[argparse.ArgumentParser] = []
    real = flags.parser

    def recorded(*arguments: Any) -> argparse.ArgumentParser:
        made.append(real(*arguments))
        return made[-1]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(flags, "parser", recorded)
        with pytest.raises(SystemExit):
            importlib.import_module(f"higherhrnet.cli.{command}").main(["--help"])
    return made[0]


def actions(command: str) -> dict[str, argparse.Action]:
    """Flags, and what argparse knows of them."""
    own = parser(command)._option_string_actions
    return {flag: action for flag, action in own.items() if flag.startswith("--") and flag != "--help"}


@pytest.mark.parametrize("command", main.COMMANDS)
def test_every_flag_has_a_row(command: str):
    assert sorted(USES[command]) == sorted(actions(command)), "give a new flag its row in cli/uses.py"


def test_the_page_is_the_table():
    assert (ROOT / "docs/flags.md").read_text() == uses.document(), (
        "make it again, as the docstring of cli/uses.py says"
    )


def test_the_table_names_backends_and_flags_that_exist():
    known = {*choices.BACKENDS, trtexec.NAME}
    for rows in USES.values():
        for use in rows.values():
            assert set(use.backends) <= known
            assert {*use.beside, *use.without} <= rows.keys()


def argument(command: str, flag: str) -> list[str]:
    """A flag with values that its parser takes."""
    action = actions(command)[flag]
    if action.nargs == 0:
        return [flag]
    values = {
        "--shard": "1/1",
        "--shapes": "128x128",
        "--disk_budget": "1GB",
        "--dump_dir": "missing",
        "--device": "cpu",
        "--save": "json",
    }
    value = str(next(iter(action.choices))) if action.choices else values.get(flag, "1")
    return [flag, *[value] * (action.nargs if isinstance(action.nargs, int) else 1)]


def unfit(command: str, flag: str, use: Use) -> Iterator[list[str]]:
    """Every way of giving a flag where it would do nothing."""
    if use.backends:
        choices = set(actions(command)["--backend"].choices or ()) - NOT_BACKENDS
        for backend in sorted(choices - set(use.backends)):
            yield [*argument(command, flag), "--backend", backend]
    if use.beside:
        yield argument(command, flag)
    for other in use.without:
        yield [*argument(command, flag), *argument(command, other)]
    if use.flip:
        yield [*argument(command, flag), "TEST.FLIP_TEST", "False"]
    if use.kinds:
        yield [UNFIT[use.kinds], *argument(command, flag)]


def called(command: str, arguments: list[str]) -> str:
    """What a command says that refuses."""
    required = [] if arguments[0] in UNFIT.values() else REQUIRED.get(command, [])
    for action in parser(command)._actions:
        if action.required and action.option_strings and action.option_strings[0] not in arguments:
            required = [*required, *argument(command, action.option_strings[0])]
    cfg = ["--cfg", str(TINY_CONFIG)] if "--cfg" in USES[command] else []
    with pytest.raises(UserError) as refused:
        importlib.import_module(f"higherhrnet.cli.{command}").main([*required, *cfg, *arguments])
    return str(refused.value)


CASES = [
    (command, flag, arguments)
    for command, rows in USES.items()
    for flag, use in rows.items()
    for arguments in unfit(command, flag, use)
]


@pytest.mark.parametrize("command", USES)
def test_a_flag_that_would_do_nothing_is_refused(command: str, tmp_path, monkeypatch: pytest.MonkeyPatch):
    """In every such way, by name, before anything is read."""
    monkeypatch.chdir(tmp_path)
    for _, flag, arguments in (case for case in CASES if case[0] == command):
        said = called(command, arguments)
        assert said.startswith(flag), (arguments, said)
        assert "omit" in said, (arguments, said)
    assert list(tmp_path.iterdir()) == []


def test_what_has_an_effect_is_taken():
    """Every pair of flags that does not exclude each other, with every backend that both are for."""
    for command, rows in USES.items():
        for (first, one), (second, other) in itertools.combinations(rows.items(), 2):
            allowed = [set(use.backends) for use in (one, other) if use.backends]
            both = set.intersection(*allowed) if allowed else {""}
            needed = [first, second]
            for flag in needed:  # grows: what goes beside a flag has conditions too
                needed += [flag for flag in rows[flag].beside[:1] if flag not in needed]
            if {*needed} & {*one.without, *other.without}:
                continue
            for backend in both:
                uses.check(command, needed, backend=backend, flip=True)


def test_values_are_no_flags():
    uses.check("postprocess", ["--dump_dir=--vis_count", "--", "--vis_score"], flip=True)
    with pytest.raises(UserError, match="--vis_count goes with --vis_dir"):
        uses.check("postprocess", ["--vis_count=3"])
