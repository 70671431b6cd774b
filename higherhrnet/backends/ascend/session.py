"""Ascend in this program: an .om through ais_bench's Python interface, without files between.

Each device has a process of its own (worker.py), which the library may hang or crash without this one; inputs and
outputs lie in memory that both see. Nothing here has run on a card yet: tests run it over a stand-in.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import mmap
import os
import stat
import tempfile
import threading
import weakref
from pathlib import Path

from higherhrnet.artifacts import atomic, dumps, inputs
from higherhrnet.backends.ascend import ais_bench
from higherhrnet.backends.ascend.shared import SLOTS, Layout
from higherhrnet.backends.base import Figures, Work
from higherhrnet.backends.external import Setting, advice
from higherhrnet.backends.in_process import InProcess, Seconds, Session
from higherhrnet.errors import UserError
from higherhrnet.system.companion import Companion, GoneError

NAME = "ascend"

_WORKER = "higherhrnet.backends.ascend.worker"


class DeviceError(UserError):
    """A device, or the library on it, failed."""

    def __init__(self, device: int, shape: tuple[int, int], what: str) -> None:
        super().__init__(f"device {device}, shape {shape[0]}x{shape[1]}: {what}")
        self.what = what


class Ascend(InProcess):
    """An .om on one device or several, each a process and one session at a time; works of several may run at once."""

    name = NAME

    def __init__(self, setting: Setting, *, dynamic_dims: bool = False) -> None:
        """Take the setting; no process is started.

        Parameters
        ----------
        dynamic_dims : the .om has shape profiles by that option, not by dynamic_image_size
        """
        super().__init__(batch=setting.batch, heads=setting.heads, done=setting.done)
        self.runtime, self.model_hash = _versions(), setting.model_hash
        self._setting, self._dynamic_dims = setting, dynamic_dims
        self._stop = threading.Event()
        self._lanes: dict[int, _Lane] = {}
        self._making = threading.Lock()

    def open(self, shape: tuple[int, int], device: int = 0) -> Session:
        """A session of ``shape`` (H, W) on ``device``, whose process is started where there is none."""
        return self._lane(device).open(shape, device)

    def run(self, work: Work) -> Figures:
        """Make the dumps of all entries on the work's device.

        Raises
        ------
        UserError : naming device and shape where the device fails; dumps made before that are kept
        """
        return self._lane(work.device).run(work)

    def end(self) -> None:
        """End what other threads wait for."""
        self._stop.set()

    def _lane(self, device: int) -> _Lane:
        with self._making:
            if device not in self._lanes:
                held = _Device(device, self._setting, self._stop, dynamic_dims=self._dynamic_dims)
                self._lanes[device] = _Lane(held, self._setting)
            return self._lanes[device]


class _Lane(InProcess):
    """The works of one device, one after another."""

    name = NAME
    runtime = ""

    def __init__(self, device: _Device, setting: Setting) -> None:
        super().__init__(batch=setting.batch, heads=setting.heads, done=setting.done)
        self._device, self._dtype = device, setting.input_dtype

    def open(self, shape: tuple[int, int], device: int = 0) -> Session:
        joints, tags = self.heads
        return AscendSession(self._device, Layout(shape, self.batch, joints, tags, self._dtype))

    def run(self, work: Work) -> Figures:
        told, made = self._done, 0

        def count(images: int) -> None:
            nonlocal made
            made += images
            told(images)

        self._done = count
        try:
            return super().run(work)
        except DeviceError as e:
            self._opened.pop(work.device, None)  # of a process that is gone
            flipped = " flipped" * work.flip
            where = f"device {work.device}, shape {work.shape[0]}x{work.shape[1]}{flipped}"
            raise UserError(f"{where}: {made} of {len(work.entries)} images made and kept; {e.what}") from e
        finally:
            self._done = told


class AscendSession:
    """One shape on one device, two slots: the process computes one while this one fills and reads the other.

    Sources are what the .om takes: float32 or float16 [N, 3, H, W], or uint8 RGB [N, H, W, 3] with AIPP.
    """

    def __init__(self, device: _Device, layout: Layout) -> None:
        self._device, self._shape = device, layout.shape
        memory, self._number = device.share(layout)
        arrays = layout.on(memory)
        self.sources, self.results = arrays.sources, arrays.results
        self._turns = [0] * SLOTS
        weakref.finalize(self, device.forget, self._number, device.process).atexit = False

    def launch(self, slot: int) -> None:
        """Start on a slot's source."""
        self._device.give_up(self._turns[slot])  # of a batch that nobody waited for, as after Ctrl-C
        self._turns[slot] = self._device.launch(self._number, slot, self._shape)

    def wait(self, slot: int) -> Seconds:
        """Wait for a slot's results. Raises DeviceError."""
        return self._device.wait(self._turns[slot], self._shape)


class _Device:
    """The process that holds one device."""

    def __init__(self, number: int, setting: Setting, stop: threading.Event, *, dynamic_dims: bool) -> None:
        self.process: Companion | None = None
        self._number, self._setting, self._stop = number, setting, stop
        self._dynamic_dims = dynamic_dims
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._sessions, self._turns = itertools.count(1), itertools.count(1)
        self._awaited: set[int] = set()
        self._done: dict[int, Seconds] = {}

    def share(self, layout: Layout) -> tuple[mmap.mmap, int]:
        """Memory that the process sees too, and its number there. Starts the process where there is none."""
        process = self.process or self._start(layout.shape)
        number = next(self._sessions)
        try:
            file = os.memfd_create(f"{NAME}{self._number}")
            try:
                os.ftruncate(file, layout.size)
                memory = mmap.mmap(file, layout.size)
                process.send({"open": {"number": number, **layout.message()}}, [file])
            finally:
                os.close(file)
        except OSError as e:
            raise UserError(
                f"cannot share {layout.size / 1e6:.0f} MB with the process of device {self._number}: {e.strerror}; "
                f"give a smaller --bs, or free memory"
            ) from e
        while "turn" in self._receive(process, layout.shape):
            pass  # of another session, which was still computing
        return memory, number

    def launch(self, number: int, slot: int, shape: tuple[int, int]) -> int:
        """Start on a slot of a session; return the turn to wait for."""
        if self.process is None:
            raise DeviceError(self._number, shape, f"{NAME}'s process is gone; run again")
        turn = next(self._turns)
        self._awaited.add(turn)
        self.process.send({"run": [number, slot, turn]})
        return turn

    def give_up(self, turn: int) -> None:
        """Wait for a turn no more."""
        self._awaited.discard(turn)
        self._done.pop(turn, None)

    def wait(self, turn: int, shape: tuple[int, int]) -> Seconds:
        """What a turn took; turns may be waited for in any order."""
        while turn not in self._done:
            if self.process is None:
                raise DeviceError(self._number, shape, f"{NAME}'s process is gone; run again")
            self._receive(self.process, shape)
        self._awaited.remove(turn)
        return self._done.pop(turn)

    def forget(self, number: int, process: Companion | None) -> None:
        """Let the process give up a session's memory."""
        if process is not None and process is self.process:
            process.send({"close": number})

    def _start(self, shape: tuple[int, int]) -> Companion:
        setting = self._setting
        model = setting.model.absolute()
        if not model.is_file():
            raise UserError(f"model {model} does not exist; correct --model")
        directory, path = model.parent, str(model)
        if _needs_place(model):
            atomic.make_directory(setting.logs)  # where a hard link may do
            self._folder = tempfile.TemporaryDirectory(prefix=f"{NAME}-", dir=setting.logs.absolute())
            directory = Path(self._folder.name)
            ais_bench.place(model, directory / ais_bench.MODEL)
            path = str(ais_bench.here(directory) / ais_bench.MODEL)
        log = setting.logs.absolute() / f"{NAME}_bs{setting.batch}_device_{self._number}.log"
        self.process = Companion(_WORKER, log=log, directory=directory)
        self.process.send({"load": {"model": path, "device": self._number, "dynamic_dims": self._dynamic_dims}})
        loaded = self._receive(self.process, shape)
        if setting.found is not None:
            try:
                setting.found.check()
            except UserError:
                self._drop()
                raise
        self._check(loaded["inputs"], loaded["outputs"], model)
        return self.process

    def _check(self, found: list[list[int]], outputs: int, model: Path) -> None:
        """Refuse an .om of another batch size, or of another kind of network."""
        channels = [1, 3] if len(found) == 1 and len(found[0]) == 4 else []  # NCHW, or NHWC with AIPP
        if outputs != len(dumps.Heads._fields) or not any(found[0][axis] == inputs.CHANNELS for axis in channels):
            self._drop()
            raise UserError(
                f"model {model}: found inputs {found} and {outputs} outputs, expected one input of 3 channels and two "
                f"outputs; convert an .onnx of HigherHRNet_pth2onnx.py"
            )
        if found[0][0] != self._setting.batch:
            self._drop()
            raise UserError(f"model {model} takes batches of {found[0][0]}, not {self._setting.batch}; give --bs so")

    def _receive(self, process: Companion, shape: tuple[int, int]) -> dict:
        """The next message; of a turn that is awaited, its times are kept."""
        try:
            message = process.receive(timeout=self._setting.timeout, stop=self._stop)
        except GoneError as e:
            self._drop()
            raise DeviceError(self._number, shape, f"{NAME}'s process {e}{advice(str(e))}") from e
        except BaseException:
            self._drop()
            raise
        if "error" in message:
            last = process.last_lines()
            self._drop()
            what = f"ais_bench says {message['error']}; its last lines: {last}; all of them: {process.log}"
            raise DeviceError(self._number, shape, f"{what}{advice(message['error'] + last)}")
        if message.get("turn") in self._awaited:
            self._done[message["turn"]] = Seconds(infer=message["infer"], execute=message["execute"])
        return message

    def _drop(self) -> None:
        if self.process is not None:
            self.process.kill()
        self.process = None
        self._awaited.clear()
        self._done.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _needs_place(model: Path) -> bool:
    """Whether the front ends of 2024 and later would refuse the .om where it lies."""
    status = model.stat()
    return (
        bool(ais_bench.REFUSED.search(str(model)))
        or model.is_symlink()
        or bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
        or status.st_uid != os.getuid()
    )


def _versions() -> str:
    """What computes, as far as its packages say; '' where they say nothing."""
    found = []
    for package in ("ais_bench", "aclruntime"):
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)
