"""What backends that run another program have in common.

The program works in a private folder: nothing that lies in result/ gets into a run, and nothing there is touched by
one. Inputs are listed there under plain relative names, so that the tools' rules about paths never meet the user's.
Afterwards, also after a failure, every image whose two dumps are whole moves into the dump directory.
"""

from __future__ import annotations

import abc
import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from higherhrnet.artifacts import atomic, dumps, inputs
from higherhrnet.backends.base import Figures, Work
from higherhrnet.errors import UserError
from higherhrnet.model.fingerprint import Seen
from higherhrnet.system import processes

INPUTS = "in"
"""Folder of the inputs in the private folder."""


@dataclass(frozen=True)
class Setting:
    """What a run of any external tool is told."""

    model: Path
    """The .om."""
    batch: int
    heads: dumps.Heads
    largest: tuple[int, int]
    """The largest shape profile (H, W): under dynamic image size some tools dump its whole buffer."""
    logs: Path
    """Folder of the programs' output."""
    timeout: float | None = None
    """Seconds that a run of one shape may take; None is no limit."""
    done: Callable[[int], object] = lambda _: None
    """Called with numbers of images while they are made."""
    input_dtype: str = inputs.FLOAT32
    """What the .om takes: float32 or float16 [N, 3, H, W], or uint8 [N, H, W, 3] with AIPP."""
    output_dtype: str = dumps.FLOAT32
    """What the .om gives: float32, or float16 by --output_type."""
    found: Seen | None = None
    """The .om as it was found; None where it is not there yet."""

    @property
    def model_hash(self) -> str:
        """Of the .om as it was found."""
        return "" if self.found is None else self.found.sha256


class ExternalTool(abc.ABC):
    """Runs a program once per shape and device."""

    name: str
    runtime = ""
    whole_buffers: bool
    """Whether dumps may be as long as the largest shape profile's; the beginning counts."""

    def __init__(self, setting: Setting) -> None:
        """Take the setting; nothing is run."""
        self.batch = setting.batch
        self.model_hash = setting.model_hash
        self._setting = setting
        self._stop = threading.Event()

    def run(self, work: Work) -> Figures:
        """Run the program over ``work``; collect what it made, also where it fails."""
        command = self._prepare(work)
        where = f"device {work.device}, shape {work.name}{' flipped' if work.flip else ''}"
        progress = _Progress(self._dumped(work, 0)[0].parent, self._setting.done, len(work.entries))
        try:
            outcome = processes.run(
                command, log=self._log(work), timeout=self._setting.timeout, stop=self._stop, tick=progress.look
            )
        except UserError as e:
            made, _ = self._collect(work)
            raise UserError(f"{where}: {made} of {len(work.entries)} images made and kept; {e}") from e
        except BaseException:
            self._collect(work)
            raise
        try:
            figures = self._figures(work, outcome)
        except (OSError, ValueError, UserError):
            figures = {}
        made, problem = self._collect(work)
        if outcome.status != 0 or problem:
            raise UserError(
                f"{where}: {self.name} {outcome.ending}, {made} of {len(work.entries)} images made and kept"
                f"{f'; {problem}' if problem else ''}; its last lines: {outcome.last_lines()}; all of them: "
                f"{outcome.log}{advice(outcome.text)}"
            )
        if not figures and not work.flip:  # the flipped pass's are not kept
            raise UserError(
                f"{where}: {self.name} made all {made} images, which are kept, but no performance figure; see "
                f"{outcome.log}; run again to continue without it"
            )
        progress.finish()
        return figures

    def recover(self, work: Work) -> Figures:
        """Collect from a private folder that a killed run, or one by hand, left."""
        if not work.private.is_dir():
            return {}
        try:
            figures = self._figures(work, None)
        except (OSError, ValueError, UserError):
            figures = {}
        self._collect(work)
        return figures

    def command(self, work: Work) -> str:
        """Stage and return the shell line."""
        return self._prepare(work).shell()

    def scratch_bytes(self, shape: tuple[int, int], dump_dtype: str) -> int:
        """Two dumps as the program leaves them, and a copy of the input, which some programs need.

        ``dump_dtype`` changes nothing: programs leave what the .om gives, which is converted file by file afterwards.
        """
        setting = self._setting
        dumped = setting.largest if self.whole_buffers else shape
        return sum(dumps.output_bytes(dumped, setting.heads, setting.output_dtype)) + inputs.size(
            shape, setting.input_dtype
        )

    def end(self) -> None:
        """End all runs of other threads."""
        self._stop.set()

    @abc.abstractmethod
    def _stage(self, work: Work) -> processes.Command:
        """Make the private folder afresh with all that the program reads; return the command."""

    @abc.abstractmethod
    def _dumped(self, work: Work, index: int) -> tuple[Path, Path]:
        """Where the program leaves an image's two dumps."""

    @abc.abstractmethod
    def _figures(self, work: Work, outcome: processes.Outcome | None) -> Figures:
        """The performance texts, or an exception; ``outcome`` is None where the program's output is not known."""

    def _prepare(self, work: Work) -> processes.Command:
        try:
            return self._stage(work)
        except OSError as e:
            raise UserError(f"cannot prepare {work.private}: {e.strerror}; free space, or give another --result") from e

    def _log(self, work: Work) -> Path:
        flip = "_flip" if work.flip else ""
        return self._setting.logs / f"{self.name}_bs{self.batch}_device_{work.device}_{work.name}{flip}.log"

    def _afresh(self, work: Work) -> Path:
        """An empty private folder. Its permissions are what the strictest tool asks for."""
        shutil.rmtree(work.private, ignore_errors=True)
        atomic.make_directory(work.private / INPUTS)
        for folder in (work.private, work.private / INPUTS):
            folder.chmod(0o750)
        return work.private

    def _collect(self, work: Work) -> tuple[int, str]:
        """Move every whole pair of dumps to the dump directory; return their number and what is missing.

        Raises UserError, and moves none, where the .om or an input is not the one any more that they would be said to
        be of.
        """
        try:
            if self._setting.found is not None:
                self._setting.found.check(f"{self.name} ran; what it made then is not kept")
            work.check(work.entries)
        except UserError:
            shutil.rmtree(work.private, ignore_errors=True)
            raise
        given = self._setting.output_dtype
        header = dumps.header(work.naming)
        largest = dumps.output_bytes(self._setting.largest, self._setting.heads, given)
        made, problem = 0, ""
        for entry in work.entries:
            index = inputs.index_of(entry.path)
            files = self._dumped(work, index)
            exact = [header + size for size in dumps.output_bytes(entry.shape, self._setting.heads, given)]
            faults = [
                _fault(file, {need, whole} if self.whole_buffers else {need})
                for file, need, whole in zip(files, exact, largest, strict=True)
            ]
            if any(faults):
                problem = problem or next(filter(None, faults))
                continue
            for file, need, target in zip(files, exact, work.naming.paths(work.dumps, index), strict=True):
                _move(file, target, need, given, work.dump_dtype)
            made += 1
        shutil.rmtree(work.private, ignore_errors=True)
        return made, problem


class _Progress:
    """Reports the images a running program has made, by the dumps that lie there."""

    _SECONDS = 1.0  # between looks: listing thousands of files is not free

    def __init__(self, folder: Path, done: Callable[[int], object], images: int) -> None:
        self._folder, self._done, self._images = folder, done, images
        self._reported = 0
        self._next = time.monotonic() + self._SECONDS

    def look(self) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._SECONDS
        try:
            files = sum(name.endswith((".bin", ".npy")) for name in os.listdir(self._folder))
        except OSError:  # not made yet
            return
        self._report(min(files // 2, self._images))

    def finish(self) -> None:
        self._report(self._images)

    def _report(self, made: int) -> None:
        if made > self._reported:
            self._done(made - self._reported)
            self._reported = made


def _fault(file: Path, sizes: set[int]) -> str:
    """What is wrong with a dump, or ''."""
    try:
        found = file.stat().st_size
    except OSError:
        return f"{file.name} is missing"
    if found in sizes:
        return ""
    return f"{file.name} has {found} bytes, expected {' or '.join(map(str, sorted(sizes)))}"


def _move(file: Path, target: Path, size: int, given: str, dtype: str) -> None:
    """Cut a dump of type ``given`` to its shape's bytes and give it its final name, on the same disk, as ``dtype``."""
    try:
        os.truncate(file, size)
        if dtype != given:
            values = np.load(file)[0] if file.suffix == ".npy" else np.fromfile(file, given)
            content = dumps.encode(values.astype(np.float32), dtype, target.name)
            atomic.write_bytes(target, dumps.stored(target, content))
            file.unlink()
            return
        file.replace(target)
    except OSError as e:
        raise UserError(f"cannot move dump {file} to {target}: {e.strerror}; check the directory's permissions") from e


def advice(text: str) -> str:
    """What to do about failures of devices and libraries that are known; '' for others."""
    if "cannot open shared object file" in text:
        return "; source the toolkit's set_env.sh in this shell, and check the driver"
    if re.search(r"open device \d+ failed|aclrtSetDevice failed", text):
        return "; check the device with npu-smi info"
    return ""
