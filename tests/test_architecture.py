"""The house: what lies where, which way imports point, and what importing a part loads."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.datasets import ROOT

PACKAGE = ROOT / "higherhrnet"
ORDER = (
    ("errors",),
    ("artifacts", "system"),
    ("config", "dataset"),
    ("image", "model"),
    ("backends", "decode"),
    ("pipeline", "report", "stages"),
    ("cli",),
)
"""Rooms from the lowest to the highest; none imports a higher one."""
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
WITHOUT_RUNTIMES = ("image", "dataset", "config", "artifacts")
RUNTIMES = ("numba", "torch", "onnxruntime")
NO_MODULES = {"backends/ascend/test_stand_ins.py"}
"""Tests of the tests' own tools."""


@functools.cache
def imports(path: Path) -> tuple[str, ...]:
    """Dotted names of all that a module imports, wherever in it, of ``from a import b`` a.b."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = path.relative_to(ROOT).parts[: -node.level]
                base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (str(argument.value) for argument in node.args if isinstance(argument, ast.Constant))


def room(path: Path) -> str:
    """The folder below the package, or the module in it."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def arrows() -> set[tuple[str, str, str]]:
    """(room, room that it imports, module that does)."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        if room(path) not in LEVEL:
            continue  # __init__ and __main__, which stand above all
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "higherhrnet" and len(parts) > 1 and parts[1] in LEVEL and parts[1] != room(path):
                found.add((room(path), parts[1], path.relative_to(PACKAGE).as_posix()))
    return found


def test_the_top_level_holds_rooms_and_nothing_else():
    files = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert files - {"py.typed"} == {"__init__.py", "__main__.py", "errors.py"}
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == LEVEL.keys() - {"errors"}


def test_no_import_points_upward():
    assert sorted(arrow for arrow in arrows() if LEVEL[arrow[1]] > LEVEL[arrow[0]]) == []


def test_rooms_of_one_level_do_not_import_each_other_both_ways():
    pairs = {(a, b) for a, b, _ in arrows() if LEVEL[a] == LEVEL[b]}
    assert sorted((a, b) for a, b in pairs if (b, a) in pairs) == []


def test_torch_is_imported_by_the_model_and_its_backend_only():
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == "torch" for name in imports(path))
    }
    assert users
    assert {name for name in users if not name.startswith("model/")} == {
        "backends/torch.py",
        "backends/torch_cuda.py",
        "backends/torch_cuda_device.py",
        "backends/torch_decode.py",
        "backends/torch_device.py",
        "backends/torch_npu.py",
    }


@pytest.mark.parametrize(("library", "rooms"), [("argparse", {"cli"}), ("yacs", {"config"})])
def test_arguments_and_trees_of_settings_stay_where_they_are_read(library: str, rooms: set[str]):
    """Below, values are passed: frozen dataclasses, no Namespace and no CfgNode."""
    users = {room(path) for path in PACKAGE.rglob("*.py") if any(n.split(".")[0] == library for n in imports(path))}
    assert users == rooms


@pytest.mark.parametrize("name", WITHOUT_RUNTIMES)
def test_importing_data_loads_no_runtime(name: str):
    """Every module of the room, in a process of its own."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((PACKAGE / name).rglob("*.py"))
        if path.stem != "__init__"
    ]
    code = f"import sys, {', '.join(modules)}; print([m for m in {RUNTIMES} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_importing_commands_loads_no_runtime():
    """--help, refusals and figures do not wait for them: what decodes or computes imports them when it begins."""
    modules = [f"higherhrnet.cli.{path.stem}" for path in sorted((PACKAGE / "cli").glob("*.py"))]
    code = f"import sys, {', '.join(modules)}; print([m for m in {RUNTIMES} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_importing_the_package_loads_nothing_heavy():
    code = f"import sys, higherhrnet; print([m for m in {(*RUNTIMES, 'cv2', 'numpy')} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_page_names_every_module():
    page = (ROOT / "docs/architecture.md").read_text()
    modules = (path for path in PACKAGE.rglob("*.py") if not path.name.startswith("__"))
    assert [str(path.relative_to(PACKAGE)) for path in modules if f"{path.name}`" not in page] == []


def test_tests_have_the_names_of_modules():
    """tests/decode/test_refine.py is of decode/refine.py; chains are in tests/chain."""
    strangers = []
    for path in (ROOT / "tests").rglob("test_*.py"):
        relative = path.relative_to(ROOT / "tests")
        if relative.parts[0] == "chain" or len(relative.parts) == 1 or relative.as_posix() in NO_MODULES:
            continue
        module = relative.with_name(relative.name.removeprefix("test_"))
        if not any((base / module).is_file() for base in (PACKAGE, ROOT)):
            strangers.append(relative.as_posix())
    assert strangers == []


def test_tests_do_not_import_each_other():
    found = []
    for path in (ROOT / "tests").rglob("*.py"):
        for name in imports(path):
            if any(part.startswith("test_") or part == "conftest" for part in name.split(".")[:-1]):
                found.append((path.name, name))
    assert found == []
