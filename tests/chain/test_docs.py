"""The documentation against the program: commands, flags, links, names; what can run here is run."""

from __future__ import annotations

import argparse
import functools
import importlib
import re
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from demo import scenes
from higherhrnet.cli import main as cli
from higherhrnet.cli import program

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("docs/**/*.md")])
TRANSLATED = [page for page in PAGES if page.parent.name == "zh" or page.name == "README.zh.md"]

_FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)^```$", re.MULTILINE)
_FLAG = re.compile(r"--[a-z]\w*")
# Of ATC, trtexec, the shell scripts and every program; pages mention them beside our own.
_FOREIGN = {
    *("--auto_tune_mode", "--datasets_path", "--dynamic_dims", "--dynamic_image_size", "--fp16", "--help"),
    *(
        "--out_nodes",
        "--fusion_switch_file",
        "--log",
        "--name",
        "--op_select_implmode",
        "--auto_set_dymdims_mode",
        "--outfmt",
    ),
    *("--noDataTransfers", "--profile", "--useCudaGraph", "--useProfile", "--useSpinWait"),
}


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


every_page = pytest.mark.parametrize("page", PAGES, ids=_name)


def _commands(page: Path) -> list[list[str]]:
    """The words of each command in the page's bash blocks."""
    blocks = [text.replace("\\\n", " ") for language, text in _FENCE.findall(page.read_text()) if language == "bash"]
    return [words for text in blocks for line in text.splitlines() if (words := shlex.split(line, comments=True))]


def _spans(page: Path) -> list[str]:
    """The page's code spans outside of blocks, on one line each."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", _FENCE.sub("", page.read_text()))]


def _inline_commands(page: Path) -> list[list[str]]:
    """The words of each code span that is a whole command; a number stands for what Slurm fills in."""
    starts = ("python3 ", "make ", "bash ", "pip install ", "higherhrnet ")
    return [shlex.split(span.replace("$SLURM_ARRAY_TASK_ID", "1")) for span in _spans(page) if span.startswith(starts)]


# The programs, and how each parses its arguments.


@dataclass(frozen=True)
class Parser:
    """What a program takes."""

    flags: frozenset[str]
    parse: Callable[[Sequence[str]], object]
    """Exits with status 2 where the arguments are not the program's."""


@functools.cache
def _parser(module: str) -> Parser:
    """The parser of a module's main, caught when main would parse with it."""
    found: list[Parser] = []

    def caught(method: str) -> Callable[..., NoReturn]:
        original = getattr(argparse.ArgumentParser, method)

        def parse(self: argparse.ArgumentParser, *_: object) -> NoReturn:
            found.append(Parser(frozenset(_FLAG.findall(self.format_usage())), functools.partial(original, self)))
            raise _CaughtError

        return parse

    with pytest.MonkeyPatch.context() as patch:
        for method in ("parse_args", "parse_intermixed_args"):
            patch.setattr(argparse.ArgumentParser, method, caught(method))
        with pytest.raises(_CaughtError):
            importlib.import_module(module).main()
    return found[0]


class _CaughtError(Exception):
    pass


def _of_script(script: str) -> str:
    """The module behind one of the guide's scripts."""
    called = re.search(r'main\.run\("(\w+)"\)', (ROOT / script).read_text())
    assert called, script
    return f"higherhrnet.cli.{called[1]}"


def _resolved(words: list[str]) -> tuple[str, list[str]]:
    """The module and the arguments of a command ``python3 ...`` or ``higherhrnet ...``."""
    match words:
        case ["python3", "-m", "higherhrnet", command, *rest] | ["higherhrnet", command, *rest]:
            return f"higherhrnet.cli.{command}", rest
        case ["python3", "-m", module, *rest]:
            return module, rest
        case ["python3", script, *rest]:
            return _of_script(script), rest
    raise AssertionError(f"a kind of command that is not known here: {words}")


def _check(words: list[str]) -> None:
    """Fail unless the command exists and takes these arguments."""
    match words:
        case ["python3", "-m", "venv", ".venv"] | [".", ".venv/bin/activate"] | ["source", _]:
            pass
        case ["python3", "-m", "higherhrnet.decode"]:
            assert (ROOT / "higherhrnet/decode/__main__.py").is_file()
        case ["python3", "-m", "pytest", *paths]:
            assert paths[:1] == ["-k"] or all((ROOT / path).exists() for path in paths), words
        case ["python3", "-m"] | ["python3", "-m", "higherhrnet", "COMMAND"]:
            pass
        case ["higherhrnet", command]:
            assert command in cli.COMMANDS
        case ["python3" | "higherhrnet", *_]:
            module, arguments = _resolved(words)
            _parser(module).parse(arguments)
        case ["make", *targets]:
            made = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert set(targets) <= set(made), words
        case ["bash", script, *arguments]:
            assert (ROOT / script).is_file(), words
            known = (ROOT / "tests/common.sh").read_text()
            assert all(f"{argument.split('=')[0]}=" in known for argument in arguments), words
        case ["pip", "install", *what]:
            _check_pip(what)
        case ["patch", "-p1", "-d", _, "<", file]:
            assert (ROOT / file).is_file(), words
        case _:
            raise AssertionError(f"a kind of command that is not known here: {words}")


def _check_pip(what: list[str]) -> None:
    if what[0] == "-r":
        assert (ROOT / what[1]).is_file(), what
        return
    extras = re.findall(r"^(\w+) = \{ file", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    here = re.fullmatch(r"\.(?:\[(\w+)\])?", what[-1])
    of_cann = {"decorator", "sympy", "absl-py"}  # what its Python parts need
    assert of_cann.issuperset(what) or (here and what[:-1] in ([], ["-e"])), what
    assert here is None or here[1] is None or here[1] in extras, what


# What stands in the pages.


@every_page
def test_blocks_say_what_they_are(page: Path) -> None:
    languages = [language for language, _ in _FENCE.findall(page.read_text())]
    assert set(languages) <= {"bash", "text", "python"}
    assert page.read_text().count("```") == 2 * len(languages)


@every_page
def test_commands_exist_and_take_their_arguments(page: Path) -> None:
    for words in [*_commands(page), *_inline_commands(page)]:
        try:
            _check(words)
        except SystemExit as e:
            raise AssertionError(f"the parser refuses {shlex.join(words)}") from e


@every_page
def test_flags_exist(page: Path) -> None:
    ours = frozenset().union(*(_parser(f"higherhrnet.cli.{command}").flags for command in cli.COMMANDS))
    named = {flag for span in _spans(page) for flag in _FLAG.findall(span) if not span.startswith("python3 -m ")}
    assert named <= ours | _FOREIGN


def test_the_table_of_flags_is_complete() -> None:
    """formats.md names every flag of every command, and no other."""
    table = (ROOT / "docs/formats.md").read_text().split("## Flags")[1]
    listed: dict[str, set[str]] = {command: set() for command in cli.COMMANDS}
    for flags, commands in re.findall(r"^\| (`--.*?) \| (.*?) \|", table, re.MULTILINE):
        for command in commands.split(", "):
            listed[command].update(_FLAG.findall(flags))
    assert listed == {command: set(_parser(f"higherhrnet.cli.{command}").flags) for command in cli.COMMANDS}


@pytest.mark.parametrize(
    ("page", "headings", "absent"),
    [
        ("ascend.md", ("## CANN, chips, Python", "## Chip name"), ("no source found", "Not tried")),
        ("zh/ascend.md", ("## CANN、芯片与 Python", "## 芯片名称"), ("未找到来源", "未试")),
    ],
)
def test_cells_of_what_others_say_have_a_source_or_say_that_they_have_none(
    page: str, headings: Sequence[str], absent: Sequence[str]
) -> None:
    text = (ROOT / "docs" / page).read_text()
    defined = set(re.findall(r"^\[([^]]+)\]: https://", text, re.MULTILINE))
    for heading in headings:
        rows = re.findall(r"^\|.*\|$", text.partition(f"{heading}\n")[2].partition("\n\n[")[0], re.MULTILINE)[2:]
        assert len(rows) >= 6
        for cell in (cell for row in rows for cell in row.strip("| ").split(" | ")[1:]):
            sources = re.findall(r"\[([^]]+)\]", cell)
            assert sources or any(word in cell for word in absent), cell
            assert set(sources) <= defined, cell


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path
        assert linked.is_file(), target
        headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in {heading.lower().replace(" ", "-") for heading in headings}, target


@pytest.mark.parametrize(("readme", "pages"), [("README.md", "docs/*.md"), ("README.zh.md", "docs/zh/*.md")])
def test_every_page_is_reached_from_the_readme(readme: str, pages: str) -> None:
    linked = {ROOT / target for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / readme).read_text())}
    assert set(ROOT.glob(pages)) <= linked


@every_page
def test_names_of_files_modules_and_tests_exist(page: Path) -> None:
    """Paths of this repository, modules as ``room/module.py`` or ``room.module``, and tests."""
    rooms = [path.name for path in (ROOT / "higherhrnet").iterdir() if path.is_dir()]
    tests = {name for path in (ROOT / "tests").rglob("*.py") for name in [path.stem, *_defined(path)]}
    for span in filter(lambda span: "..." not in span, _spans(page)):
        if re.fullmatch(r"(higherhrnet|tests|docs|demo|benchmarks|experiments|requirements)/[\w./-]*", span):
            assert (ROOT / span).exists(), span
        elif re.fullmatch(rf"({'|'.join(rooms)})/[\w./]*", span):
            assert (ROOT / "higherhrnet" / span).exists(), span
        elif re.fullmatch(rf"({'|'.join(rooms)})(\.\w+)+", span) and not span.endswith(".py"):
            path = ROOT / "higherhrnet" / span.replace(".", "/")
            assert path.with_suffix(".py").is_file() or path.is_dir(), span
        elif re.fullmatch(r"test_\w+", span):
            assert span in tests, span


def _defined(path: Path) -> list[str]:
    return re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", TRANSLATED, ids=_name)
def test_both_languages_have_the_same_commands(page: Path) -> None:
    english = ROOT / "README.md" if page.parent == ROOT else page.parent.parent / page.name
    assert _commands(page) == _commands(english)


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "README.zh.md"], ids=_name)
def test_a_readme_is_an_introduction(page: Path) -> None:
    assert len(page.read_text().splitlines()) <= 220


# What can run here. Each page's commands run in its order, in one folder, as a reader would enter them.

# The README's network takes long here: the demonstration's has its name, and inputs are a quarter as wide and high.
_SMALL = ("--cfg", "demo/w16_512.yaml", "DATASET.INPUT_SIZE", "128")
_SHAPES = {"512x512,512x576": "128x128,128x192"}


def _run(words: list[str]) -> None:
    module, arguments = _resolved(words)
    if "--cfg" in _parser(module).flags and "--cfg" not in arguments:
        arguments = [*(_SHAPES.get(word, word) for word in arguments), *_SMALL]
    assert program.run(importlib.import_module(module).main, arguments) == 0, shlex.join(words)


def _add_results() -> None:
    """What performance.md reads: figures of the guide's shapes, and results of other devices."""
    for shape, rate in {"512x512": 12.5, "512x576": 11.25}.items():
        line = f"[inference] throughputRate: 9, Interface throughputRate: {rate}, moduleLatency: 90\n"
        Path(f"result/perf_vision_batchsize_1_device_0_{shape}.txt").write_text(line)
    Path("result/figures.record.json").unlink()  # figures without a record would be columns of their own
    for other in "abr":
        shutil.copytree("result", other)


@pytest.mark.slow
def test_commands_of_the_pages_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    generate = next(words for words in _inline_commands(ROOT / "README.md") if "demo.scenes" in words)
    scenes.main(generate[3:])
    Path("models").mkdir()
    shutil.copy(ROOT / "demo/weights/w16_512.pth", "models/pose_higher_hrnet_w32_512.pth")
    steps = 0
    for page in ("README.md", "docs/performance.md", "docs/large-runs.md", "docs/configurations.md"):
        if page == "docs/performance.md":
            _add_results()
        for words in _commands(ROOT / page):
            if words[0] == "python3" and "venv" not in words:
                _run(words)
                steps += 1
    assert steps == 22
    assert Path("data/own.json").is_file()
    assert Path("performance.png").stat().st_size > 10_000
    assert Path("output/coco_kpt/pose_higher_hrnet/w16_512/results/keypoints_val2017_results.json").is_file()
