"""The Ascend benchmark tool: benchmark.x86_64 or benchmark.aarch64.

A run takes one shape and works in its current folder: there it reads the .info list and writes result/.
"""

from __future__ import annotations

import os
import platform
import stat
from pathlib import Path

from higherhrnet.artifacts import dumps, info, perf
from higherhrnet.backends.base import Figures, Work
from higherhrnet.backends.external import INPUTS, ExternalTool, Setting
from higherhrnet.errors import UserError
from higherhrnet.system import processes

NAME = "benchmark"
_LIST = "inputs.info"
_MACHINES = {"arm64": "aarch64", "amd64": "x86_64"}


def file_name() -> str:
    """What the tool for this machine is called."""
    machine = platform.machine().lower()
    return f"benchmark.{_MACHINES.get(machine, machine)}"


def find(place: Path | None) -> Path | None:
    """The tool: ``place``, in folder ``place``, or in the current folder. None where it is not there."""
    file = place or Path()
    file = file / file_name() if file.is_dir() else file
    return file if file.is_file() else None


def require(place: Path | None) -> Path:
    """The tool, ready to run: a missing execute bit is set, as the tool arrives without it.

    Raises UserError: no tool, or one that this user cannot make executable.
    """
    file = find(place)
    if file is None:
        others = sorted(Path().glob("benchmark.*"))
        there = f" (found {', '.join(map(str, others))}, which is for another machine)" if others and not place else ""
        raise UserError(
            f"benchmark tool {place or file_name()} is not there{there}; put {file_name()} into the current folder, or "
            f"give --benchmark_path"
        )
    if not os.access(file, os.X_OK):
        try:
            file.chmod(file.stat().st_mode | stat.S_IXUSR)
        except OSError as e:
            raise UserError(
                f"benchmark tool {file} is not executable and cannot be made so ({e.strerror}); run: chmod u+x {file}"
            ) from e
    return file


class CannBenchmark(ExternalTool):
    """Runs the benchmark tool. Its dumps are exact, or as long as the largest shape profile's; the beginning counts."""

    name = NAME
    whole_buffers = True

    def __init__(self, setting: Setting, tool: Path) -> None:
        """Use ``tool``, a path to the program."""
        super().__init__(setting)
        self._tool = tool.absolute()

    def _stage(self, work: Work) -> processes.Command:
        private = self._afresh(work)
        entries = []
        for entry in work.entries:
            link = Path(INPUTS, entry.path.name)  # a name without blanks, wherever the input lies
            (private / link).symlink_to(entry.path.absolute())
            entries.append(info.Entry(link, width=entry.width, height=entry.height))
        info.write(private / _LIST, entries)
        height, width = work.shape
        options = {
            "model_type": "vision",
            "device_id": work.device,
            "batch_size": self.batch,
            "om_path": self._setting.model.absolute(),
            "input_width": width,
            "input_height": height,
            "input_text_path": _LIST,
            "output_binary": True,
            "useDvpp": False,
        }
        arguments = (str(self._tool), *(f"-{key}={value}" for key, value in options.items()))
        return processes.Command(arguments, private.absolute())

    def _dumped(self, work: Work, index: int) -> tuple[Path, Path]:
        return dumps.BENCHMARK.paths(work.private / "result" / f"dumpOutput_device{work.device}", index)

    def _figures(self, work: Work, outcome: processes.Outcome | None) -> Figures:
        """The tool's own file, as it is."""
        file = work.private / "result" / f"perf_vision_batchsize_{self.batch}_device_{work.device}.txt"
        text = file.read_text(encoding="utf-8", errors="replace")
        perf.parse(text, file)
        return {work.shape: text}
