"""ais_bench, Ascend's newer inference tool: ``python3 -m ais_bench``, once per shape, or once for all of a flat tree.

Its newer versions take only plain characters in paths, no links, inputs that nobody else can write and an output folder
that nobody else can read. The private folder is made so, and the tool runs in it: then the permissions of the user's
folders do not matter, nor their names, see _HERE.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import shutil
import stat
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from higherhrnet.artifacts import ais_summary, inputs, perf
from higherhrnet.backends.base import Figures, Work
from higherhrnet.backends.external import INPUTS, ExternalTool, Setting
from higherhrnet.model.onnx_graph import INPUT
from higherhrnet.system import packages, processes

NAME = "ais_bench"

MODEL = "model.om"
"""What an .om is called in a private folder."""
_OUTPUT, _DUMPS = "out", "dumps"
_HERE = Path("/proc/self/cwd")
"""The private folder, under a name of plain characters: since October 2024 the tool checks paths made absolute."""
REFUSED = re.compile(r"[^_A-Za-z0-9/.-]")
"""Characters that the tool takes in no path."""
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_THROUGHPUT = re.compile(r"\[INFO\] throughput\b.*[\s:]([0-9.eE+-]+)\s*$", re.MULTILINE)


def missing(*, in_process: bool = False) -> str:
    """Why ais_bench cannot run here, '' where nothing speaks against it; ``in_process``: by its Python interface.

    Another package has the same name (an evaluation tool for language models, since 2026): ``infer`` tells them apart.
    Nothing of either is imported.
    """
    found = importlib.util.find_spec(NAME)
    if found is None:
        return "ais_bench is not installed"
    folders = [Path(folder) / "infer" for folder in found.submodule_search_locations or ()]
    if not any(folder.is_dir() for folder in folders):
        where = found.origin or folders[0].parent
        return f"the ais_bench that is installed ({where}) is another package: it has no ais_bench.infer"
    if not packages.is_installed("aclruntime"):
        return "ais_bench is installed without aclruntime"
    if in_process and not any((folder / "interface.py").is_file() for folder in folders):
        return "the ais_bench that is installed has no ais_bench.infer.interface"
    return ""


class AisBench(ExternalTool):
    """Runs ais_bench. Its dumps hold exactly the shape's bytes."""

    name = NAME
    whole_buffers = False

    def __init__(self, setting: Setting, *, dynamic_dims: bool = False) -> None:
        """``dynamic_dims``: the .om has shape profiles by that option, not dynamic_image_size."""
        super().__init__(setting)
        self._dynamic_dims = dynamic_dims

    def _stage(self, work: Work) -> processes.Command:
        private = self._afresh(work)
        place_of = here(private)
        model = place_of / MODEL
        if self._setting.model.is_file():
            place(self._setting.model, private / MODEL)
        else:  # only where commands are printed before the .om is made: the line then names where it will be
            model = self._setting.model.absolute()
        for entry in work.entries:
            target = private / INPUTS / entry.path.name
            if self._dynamic_dims and self.batch == 1 and entry.path.suffix != ".npy":
                _write_npy(entry.path, work.dtype, work.shape, target.with_suffix(".npy"))
            else:
                place(entry.path, target)
        (private / _OUTPUT).mkdir()
        (private / _OUTPUT).chmod(0o750)  # one that the tool makes itself it refuses the next time
        height, width = work.shape
        if not self._dynamic_dims:
            profile = ("--dymHW", f"{height},{width}")
        elif self.batch == 1:
            profile = ("--auto_set_dymdims_mode", "1")
        else:  # that mode runs file by file
            profile = ("--dymDims", f"{INPUT}:{self.batch},{inputs.CHANNELS},{height},{width}")
        arguments = (
            *(sys.executable, "-m", NAME, "--model", str(model), "--input", str(place_of / INPUTS)),
            *("--output", str(place_of / _OUTPUT), "--output_dirname", _DUMPS, "--outfmt", work.naming.suffix.upper()),
            *("--device", str(work.device), *profile, "--batchsize", str(self.batch)),
        )
        # Unbuffered, or the lines of its compiled part come last, or never.
        return processes.Command(arguments, private.absolute(), {"PYTHONUNBUFFERED": "1"})

    def _dumped(self, work: Work, index: int) -> tuple[Path, Path]:
        return replace(work.naming, first=0).paths(work.private / _OUTPUT / _DUMPS, index)

    def _figures(self, work: Work, outcome: processes.Outcome | None) -> Figures:
        """The tool's throughput in the benchmark tool's format; what it does not measure is nan."""
        file = work.private / _OUTPUT / f"{_DUMPS}{ais_summary.SUFFIX}"
        try:
            summary = file.read_text(errors="replace")
        except OSError:
            summary = ""
        if work.together:
            shapes = {entry.path.name: entry.shape for entry in work.entries}
            rates = ais_summary.rates(json.loads(summary), file, shapes)
            return {shape: perf.execute_only(rate) for shape, rate in rates.items()}
        return {work.shape: perf.execute_only(throughput(summary, outcome.text if outcome else ""))}


def throughput(summary: str, said: str) -> float:
    """Images per second, as perf defines them, from the tool's summary file or, where that has none, its output.

    The tool computes 1000 * batch size / mean execute time in ms, padded batches among them.

    Raises ValueError: neither has a positive number.
    """
    try:
        rate = float(json.loads(summary)["throughput"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        found = _THROUGHPUT.findall(said)
        if not found:
            raise ValueError("no throughput") from None
        rate = float(found[-1])
    if not 0 < rate < math.inf:
        raise ValueError(f"throughput {rate}")
    return rate


def here(private: Path) -> Path:
    """What to put before names in ``private``, for a process that runs there."""
    return _HERE if REFUSED.search(str(private.absolute().resolve())) else Path()


def place(source: Path, target: Path) -> None:
    """Put a file there that the tool takes: a hard link where its permissions allow, else a copy."""
    status = source.stat()
    if not status.st_mode & _OTHERS_WRITE and status.st_uid == os.getuid():
        try:
            os.link(source.resolve(), target)
        except OSError:  # another file system, or one without hard links
            pass
        else:
            return
    shutil.copyfile(source, target)
    target.chmod(0o640)


def _write_npy(source: Path, dtype: str, shape: tuple[int, int], target: Path) -> None:
    """Write an input as .npy [1, 3, H, W], which tells the tool its shape profile."""
    np.save(target, np.fromfile(source, dtype).reshape(1, inputs.CHANNELS, *shape))
    target.chmod(0o640)
