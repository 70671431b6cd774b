"""What to say where a package is missing or does not load. Needs nothing but the standard library."""

from __future__ import annotations

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


def python_problem() -> str:
    """What is wrong with this Python, '' where nothing is."""
    if sys.version_info >= OLDEST_PYTHON:
        return ""
    found, oldest = (".".join(map(str, version)) for version in (sys.version_info[:3], OLDEST_PYTHON))
    return f"this is Python {found}, expected {oldest} or newer; run it with another python3"


def problem(error: ImportError) -> str:
    """What an import that failed means to a user; '' for one that is this program's own fault."""
    name = (error.name or "").partition(".")[0]
    package, file = _PACKAGES.get(name, ("", ""))
    reason = _root(error)
    if isinstance(error, ModuleNotFoundError) and reason is error:
        if not package:
            return ""
        return f"package {package} is not installed for {sys.executable}; pip install -r {file}"
    broken = package or _importing(error) or next((p for key, (p, _) in _PACKAGES.items() if key in str(reason)), "")
    if not broken:
        return ""
    said = " ".join(str(reason).split())[:200]
    if "map segment" in said or "allocate memory" in said:
        return (
            f"package {broken} is installed but does not load ({said}): there is too little memory (ulimit -v), or it "
            f"lies in a file system that runs no programs (noexec)"
        )
    return (
        f"package {broken} is installed but does not load ({said}); check LD_LIBRARY_PATH and what set_env.sh put "
        f"on it, or install the package again"
    )


def _importing(error: ImportError) -> str:
    """The package in whose import an error arose, which it need not name; '' of another."""
    found = ""
    trace = error.__traceback__
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        found = _PACKAGES.get(name, (found,))[0]
        trace = trace.tb_next
    return found


def _root(error: BaseException) -> BaseException:
    """What an exception came from: libraries wrap a loader's words in pages of advice."""
    while (cause := error.__cause__ or error.__context__) is not None and isinstance(cause, (ImportError, OSError)):
        error = cause
    return error
