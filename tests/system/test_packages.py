"""system/packages: what is said where a package is missing, or does not load."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

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
