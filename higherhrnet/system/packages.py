"""What to say where a package is missing or does not load. Needs nothing but the standard library."""

from __future__ import annotations

import importlib.util
import os
import re
import sys

OLDEST_PYTHON = (3, 10)

# By name of the import: what pip calls it, and the requirements file with its version.
_ALL, _MORE, _DASK = "requirements-base.txt", "requirements.txt", "requirements-dask.txt"
_PACKAGES = {
    "cv2": ("opencv-python-headless", _ALL),
    "distributed": ("distributed", _DASK),
    "jinja2": ("jinja2", _MORE),
    "llvmlite": ("llvmlite", _ALL),
    "matplotlib": ("matplotlib", _MORE),
    "numba": ("numba", _ALL),
    "numpy": ("numpy", _ALL),
    "onnx": ("onnx", _MORE),
    "onnxruntime": ("onnxruntime", _MORE),
    "openvino": ("openvino", "requirements/openvino.txt"),
    "pycocotools": ("pycocotools", _ALL),
    "torch": ("torch", _MORE),
    "tqdm": ("tqdm", _ALL),
    "yacs": ("yacs", _ALL),
    "yaml": ("PyYAML", _ALL),
}

_VERSIONS = re.compile(
    r"compiled using NumPy|numpy\.dtype size changed|binary incompatib|_ARRAY_API|compiled against|needs NumPy|"
    r"has no attribute|multiarray failed|failed without raising|ABI version",
    re.IGNORECASE,
)
"""What packages, and the interpreter, say where versions do not go together."""


def is_installed(module: str) -> bool:
    """Whether a package is there; a folder without modules of its own, as a user's called like it, is none."""
    found = importlib.util.find_spec(module)
    return found is not None and found.origin is not None


def python_problem() -> str:
    """What is wrong with this Python, '' where nothing is."""
    if sys.version_info >= OLDEST_PYTHON:
        return ""
    found, oldest = (".".join(map(str, version)) for version in (sys.version_info[:3], OLDEST_PYTHON))
    return f"this is Python {found}, expected {oldest} or newer; run it with another python3"


def problem(error: BaseException) -> str:
    """What an import that failed means to a user; '' for one that is this program's own fault, or for no import.

    A library that is missing, or that clashes with another's version, ends an import by whatever its code comes upon:
    OSError, AttributeError, RuntimeError, SystemError ...
    """
    if hidden := _hidden():
        return hidden
    if not isinstance(error, ImportError):
        package, file = _importing(error)
        return _broken(package, file, _root(error)) if package else ""
    name = (error.name or "").partition(".")[0]
    package, file = _PACKAGES.get(name, ("", ""))
    reason = _root(error)
    if isinstance(error, ModuleNotFoundError) and reason is error:
        if not package:
            return ""
        return f"package {package} is not installed for {sys.executable}; pip install -r {file}"
    if not package:
        package, file = _importing(error)
    if not package:
        package, file = next((found for key, found in _PACKAGES.items() if key in str(reason)), ("", ""))
    return _broken(package, file, reason) if package else ""


def _hidden() -> str:
    """Which package, or module of Python, is not itself here but a user's file or folder; '' where all are.

    ``python3 -m`` looks for modules in the current folder first.
    """
    try:
        here = os.path.realpath(".")
    except OSError:  # it is gone
        return ""
    for name in (*_PACKAGES, *sys.stdlib_module_names):
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        places = [file] if file else list(getattr(module, "__path__", ()))
        for place in places:
            own = os.path.dirname(place) if os.path.basename(place).startswith("__init__.") else place
            if os.path.realpath(os.path.dirname(own)) == here:
                return f"{own} is taken for the package {name}: it lies in the current folder; rename that"
    return ""


def _broken(package: str, file: str, reason: BaseException) -> str:
    """What to say of a package that is there and does not load."""
    said = " ".join(str(reason).split())[:200] or type(reason).__name__
    if "map segment" in said or "allocate memory" in said:
        return (
            f"package {package} is installed but does not load ({said}): there is too little memory (ulimit -v), or it "
            f"lies in a file system that runs no programs (noexec)"
        )
    if _VERSIONS.search(said):
        return (
            f"package {package} is installed but does not load ({said}): it was made for another version of NumPy or "
            f"Python than is here; pip install -r {file} installs versions that go together"
        )
    return (
        f"package {package} is installed but does not load ({said}); check LD_LIBRARY_PATH and what set_env.sh put "
        f"on it, or install the package again"
    )


def _importing(error: BaseException) -> tuple[str, str]:
    """The package in whose import an error arose, which it need not name, and its file; '' for both of another.

    An import runs the code of modules, and what was called by it; an error of a call later has none of it.
    """
    found, loading = ("", ""), isinstance(error, ImportError)
    trace = error.__traceback__
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if name in _PACKAGES:
            # A compiled module shows the name of its initialisation instead.
            loading = loading or trace.tb_frame.f_code.co_name.startswith(("<module>", "init "))
            found = _PACKAGES[name]
        trace = trace.tb_next
    return found if loading else ("", "")


def _root(error: BaseException) -> BaseException:
    """What an exception came from: libraries wrap a loader's words in pages of advice."""
    while (cause := error.__cause__ or error.__context__) is not None and isinstance(cause, (ImportError, OSError)):
        error = cause
    return error
