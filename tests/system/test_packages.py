"""system/packages: what is said where a package is missing, or does not load."""

from __future__ import annotations

import sys

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


def test_an_old_python_is_refused(monkeypatch: pytest.MonkeyPatch):
    assert packages.python_problem() == ""
    monkeypatch.setattr(sys, "version_info", (3, 8, 10))
    assert "this is Python 3.8.10, expected 3.10 or newer" in packages.python_problem()
