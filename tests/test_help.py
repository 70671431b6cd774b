"""The help of every command: each option says what it is for, and only defaults that say something are printed."""

from __future__ import annotations

import argparse
import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from higherhrnet.cli import flags, main


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
