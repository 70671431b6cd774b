"""Every numeric flag of every program, with everything that is no number it could mean."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from higherhrnet.cli import flags, main, performance
from tests.support.datasets import ROOT
from tests.support.programs import Outcome

Script = Callable[..., Outcome]


def test_batch_sizes_are_read_as_a_list():
    assert flags.batch_sizes("1,2,4,8") == (1, 2, 4, 8)
    for wrong in ("0", "1,-2", "2,2"):
        with pytest.raises(argparse.ArgumentTypeError):
            flags.batch_sizes(wrong)
    with pytest.raises(argparse.ArgumentTypeError, match="not a whole number of 1 to 1,024"):
        flags.batch_sizes("1,")


PROGRAMS = [
    *([path.stem] for path in sorted(ROOT.glob("*.py"))),
    ["higherhrnet.__main__", "run"],
    ["higherhrnet.__main__", "merge"],
    ["higherhrnet.__main__", "report"],
]
NO_NUMBERS = ["", " ", "-2", "1e999", "nan", "inf", "-inf", "9" * 30, "9" * 5000, "0x10", "1_0", "1 0", "1,,2", "1,1"]
NO_NUMBERS += ["\0", "١", "½", "\udcff", "None", "x" * 100_000, "-", "1/0", "0/0", "1x"]
# What some take after all: a shape of height 0, refused later, and a number of 30 digits.
TAKEN: list[tuple[object, str]] = [(performance.shapes, "0x10"), (flags.non_negative, "9" * 30)]
EXPECTED = {
    "HigherHRNet_benchmark": "--bs --device --device_id --device_ids --shard --threads --timeout",
    "HigherHRNet_performance": "--ap_tolerance --bs --changed --device --device_id --distance --rounds --shapes "
    "--threads --timeout --tolerance --warm_up --workers",
    "HigherHRNet_postprocess": "--shard --vis_count --vis_score --workers",
    "HigherHRNet_preprocess": "--limit --shard --workers",
    "HigherHRNet_pth2onnx": "--bs",
    "gen_dataset_info": "--shard",
    "higherhrnet.__main__ run": "--bs --device --device_id --device_ids --disk_budget --limit --shard --threads "
    "--timeout --workers",
    "higherhrnet.__main__ merge": "",
    "higherhrnet.__main__ report": "--pictures",
}

Flags = Callable[[list[str]], list[argparse.Action]]


@pytest.fixture
def numeric(
    monkeypatch: pytest.MonkeyPatch, script: Callable[..., Outcome]
) -> Callable[[list[str]], list[argparse.Action]]:
    """The flags of a program that take numbers."""

    def of(program: list[str]) -> list[argparse.Action]:
        made: list[argparse.ArgumentParser] = []
        real = flags.parser

        def recorded(doc: str | None, command: str) -> argparse.ArgumentParser:
            made.append(real(doc, command))
            return made[-1]

        with monkeypatch.context() as patched:
            patched.setattr(flags, "parser", recorded)
            assert script(*program, "--help").status == 0
        actions = made[-1]._actions
        return [action for action in actions if action.option_strings and action.type not in (None, Path, flags.names)]

    return of


@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_what_is_no_number_is_wrong_usage(
    program: list[str],
    numeric: Flags,
    script: Callable[..., Outcome],
):
    actions = numeric(program)
    assert sorted(action.option_strings[0] for action in actions) == EXPECTED[" ".join(program)].split()
    for action in actions:
        parse = action.type
        assert callable(parse)
        for text in NO_NUMBERS:
            if (parse, text) not in TAKEN:
                with pytest.raises(argparse.ArgumentTypeError) as refused:
                    parse(text)
                assert 0 < len(str(refused.value)) < 300, "short enough for a line"
        outcome = script(*program, action.option_strings[0], "-2")
        assert outcome.status == 2, (action.option_strings, outcome)
        assert f"argument {'/'.join(action.option_strings)}: " in outcome.err


@pytest.mark.parametrize("command", main.COMMANDS)
def test_help_has_no_default_that_says_nothing(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    parsers: list[argparse.ArgumentParser] = []
    real = flags.parser

    def recorded(*arguments: Any) -> argparse.ArgumentParser:
        parsers.append(real(*arguments))
        return parsers[-1]

    monkeypatch.setattr(flags, "parser", recorded)
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"higherhrnet.cli.{command}").main(["--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    defaults = re.findall(r"\(default: (.*?)\)", text)
    assert text.count("(default:") == len(defaults) > 0
    assert [d for d in defaults if not d or d[0] in "([{'" or d in {"True", "False"}] == []
    assert "None" not in text
    assert [action.dest for action in parsers[0]._actions if not action.help] == []


def test_defaults_read_as_they_are_typed():
    shown: dict[Any, str] = {0: "0", 0.5: "0.5", "a": "a", Path("5%d"): "5%d", (1, 2): "1,2"}
    hidden: list[Any] = [None, False, True, "", (), []]
    parser = flags.parser("Does it.", "it")
    for number, default in enumerate([*shown, *hidden]):
        parser.add_argument(f"--x{number}", default=default, metavar="X", help="half, 50%%")
    said = re.findall(r"^  --x\d+ X +(.*)$", parser.format_help(), re.MULTILINE)
    assert said == [*(f"half, 50% (default: {text})" for text in shown.values()), *["half, 50%"] * len(hidden)]
