"""system/packages: what is said where a package is missing, or does not load."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from higherhrnet.cli import program
from higherhrnet.system import packages


@pytest.mark.parametrize(
    ("module", "package", "file"),
    [
        ("cv2", "opencv-python-headless", "requirements-base.txt"),
        ("yaml", "PyYAML", "requirements-base.txt"),
        ("torch.nn", "torch", "requirements.txt"),
        ("distributed", "distributed", "requirements-dask.txt"),
    ],
)
def test_a_missing_package_is_named_with_its_requirements(module: str, package: str, file: str):
    said = packages.problem(ModuleNotFoundError(f"No module named {module!r}", name=module))
    assert said == f"package {package} is not installed for {sys.executable}; pip install -r {file}"


def test_a_module_of_our_own_is_our_bug():
    assert packages.problem(ModuleNotFoundError("no", name="higherhrnet.nothing")) == ""


def test_a_library_that_does_not_load_is_said_with_the_loader_s_reason():
    """NumPy wraps what the loader said in pages that begin with advice to install it."""
    reason = ImportError("libstdc++.so.6: version `GLIBCXX_3.4.29' not found (required by numpy/core.so)")
    try:
        raise ImportError("IMPORTANT: PLEASE READ THIS\n" * 50, name="numpy") from reason
    except ImportError as e:
        said = packages.problem(e)
    assert said.startswith("package numpy is installed but does not load (libstdc++.so.6: version `GLIBCXX_3.4.29'")
    assert "\n" not in said


def test_a_package_that_an_error_does_not_name_is_the_one_that_was_imported(tmp_path: Path, monkeypatch):
    """As NumPy's newest, and ONNX Runtime, in whose path another package's name is."""
    folder = tmp_path / "onnxruntime"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise ImportError('/lib/libstdc++.so.6: file too short')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    with pytest.raises(ImportError) as caught:
        importlib.import_module("onnxruntime")
    said = packages.problem(caught.value)
    assert said.startswith("package onnxruntime is installed but does not load (/lib/libstdc++.so.6: file too short)")


def test_an_old_python_is_refused(monkeypatch: pytest.MonkeyPatch):
    assert packages.python_problem() == ""
    monkeypatch.setattr(sys, "version_info", (3, 8, 10))
    assert "this is Python 3.8.10, expected 3.10 or newer" in packages.python_problem()


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("OSError('libcudart.so.12: cannot open shared object file')", "check LD_LIBRARY_PATH"),
        (
            "AttributeError('_ARRAY_API not found')",
            "pip install -r requirements.txt installs versions that go together",
        ),
        ("RuntimeError('module compiled against ABI version 0x1000009')", "pip install -r requirements.txt"),
        ("SystemError('initialization of _internal failed without raising an exception')", "pip install -r"),
        ("ValueError('numpy.dtype size changed, may indicate binary incompatibility')", "pip install -r"),
        ("KeyError()", "package onnxruntime is installed but does not load (KeyError)"),
    ],
)
def test_an_import_that_fails_otherwise_is_a_line_too(
    raised: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """As of a library that lacks another, or that was made for another NumPy; by the command, wherever it imports."""
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime/__init__.py").write_text(f"def load():\n    raise {raised}\n\nload()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)

    def imports(_: Sequence[str] | None) -> None:
        importlib.import_module("onnxruntime")

    assert program.run(imports, []) == 1
    line = capsys.readouterr().err
    assert line.startswith("error: package onnxruntime is installed but does not load (")
    assert said in line
    assert line.count("\n") == 1


def test_an_error_of_a_call_is_no_import_s():
    """Of a package that has loaded: our bug, which is not to be hidden behind advice to install it again."""
    with pytest.raises(ValueError, match="cannot reshape") as caught:
        np.arange(3).reshape(2, -1)
    assert packages.problem(caught.value) == ""
    with pytest.raises(AttributeError) as raised:
        np.ma.masked_array([1]).__getattribute__("nothing")
    assert packages.problem(raised.value) == ""


def test_a_user_s_file_or_folder_of_a_package_s_name_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``python3 -m`` looks in the current folder first."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "yaml.py").touch()
    (tmp_path / "openvino").mkdir()
    with monkeypatch.context() as patch:
        patch.syspath_prepend(".")
        for name in ("yaml", "openvino"):
            patch.delitem(sys.modules, name, raising=False)
        yaml = importlib.import_module("yaml")
        with pytest.raises(AttributeError) as caught:
            yaml.SafeLoader  # noqa: B018
        said = packages.problem(caught.value)
        assert "/yaml.py is taken for the package yaml: it lies in the current folder; rename that" in said
        patch.delitem(sys.modules, "yaml")
        patch.setattr(sys, "path", ["."])
        assert not packages.is_installed("openvino")
        importlib.import_module("openvino")
        assert "/openvino is taken for the package openvino" in packages.problem(caught.value)
        sys.modules.pop("openvino")
    assert packages.problem(caught.value) == ""
