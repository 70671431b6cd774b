"""Stand-in for aclruntime, the compiled part of ais_bench: strict as the one of late 2024, or of June 2023.

Rules and words: ais-bench_workload/tool/ais_bench/backend of github.com/Ascend/tools at 9d6da90 (2023) and of
github.com/Yanguan619/aclruntime at b00a6c5e (2024): ModelInferenceProcessor.cpp, model_process.cpp, DeviceManager.cpp,
PyInferenceSession.cpp. Its own lines go through C's stdout, which nobody flushes.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import om

OLD = bool(os.environ.get("STAND_IN_AIS_OLD"))
C = ctypes.CDLL(None)
TYPES = {"float32": 0, "float16": 1, "uint8": 4}


def say(text: str) -> None:
    """A line into C's buffer: lost where the process dies before it is flushed."""
    C.puts(text.encode())


def fail(text: str, why: str = "ACL: general failure") -> None:
    say(f"[ERROR] {text}")
    raise RuntimeError(why)


class _Devices(threading.local):
    current: int | None = None
    """The device of this thread's context."""


DEVICES = _Devices()
OPEN: set[int] = set()


def set_context(device: int) -> None:
    """DeviceManager::SetDevice: opens the device the first time."""
    if device not in OPEN:
        if not om.check_device(device):
            fail(f"acl open device {device} failed", "Set device failed.")
        say(f"[INFO] open device {device} success")
        OPEN.add(device)
    DEVICES.current = device


class session_options:  # noqa: N801  # the names are the library's
    loop = 1
    log_level = 2
    acl_json_path = ""


class tensor_desc:  # noqa: N801
    def __init__(self, name: str, shape: list[int], datatype: int, size: int) -> None:
        self.name, self.shape, self.datatype, self.size, self.realsize = name, shape, datatype, size, size


class sumary:  # noqa: N801
    def __init__(self) -> None:
        self.exec_time_list: list[float] = []


class BaseTensor:
    def __init__(self, buf: int, size: int) -> None:
        self.buf, self.size = buf, size


class MemorySummary:
    """One for the whole process, as the real one's: milliseconds of each copy."""

    H2D_time_list: list[float] = []  # noqa: RUF012
    D2H_time_list: list[float] = []  # noqa: RUF012

    def reset(self) -> None:
        self.H2D_time_list.clear()
        self.D2H_time_list.clear()


class Tensor:
    def __init__(self, array: np.ndarray, device: int) -> None:
        self._array, self._device, self._on_host = array, device, False

    def to_host(self) -> None:
        if OLD and DEVICES.current != self._device:
            fail("TensorBaseCopy failed. ret=107002", "Device memory copy error")
        start = time.perf_counter()
        self._array = self._array.copy()
        MemorySummary.D2H_time_list.append(1000 * (time.perf_counter() - start) + 1e-3)
        self._on_host = True

    def host(self) -> np.ndarray:
        if not self._on_host:
            raise RuntimeError("tensor is in npu. can't convert to numpy array")
        return self._array


class InferenceSession:
    def __init__(self, model_path: str, device_id: int, options: session_options) -> None:
        set_context(device_id)
        try:
            self.model = om.Model(Path(model_path))
        except (OSError, KeyError, zipfile.BadZipFile):
            fail(f"load model from file failed, model file is {model_path}")
        say(f"[INFO] load model {model_path} success")
        say("[INFO] create model description success")
        self.device, self._freed = device_id, False
        self._gear: tuple[int, int] | None = None
        self._summary = sumary()
        self.fault = om.Fault("", device_id)
        told = self.model.options
        largest = self.model.input_bytes(*self.model.largest) * told.batch
        shape = [told.batch, -1, -1, 3] if told.aipp else [told.batch, 3, -1, -1]
        name = self.model.session.get_inputs()[0].name
        kind = "uint8" if told.aipp else told.inputs
        self._inputs = [tensor_desc(name, shape, TYPES[kind], largest)]
        self._outputs = [
            tensor_desc(f"{output.name}:0", [told.batch, output.shape[1], -1, -1], TYPES[told.outputs], 0)
            for output in self.model.session.get_outputs()
        ]

    def _enter(self) -> None:
        """Since 2024 every call sets the device's context; in 2023 only the one that makes the session does."""
        if self._freed:
            fail("the session was released")
        if not OLD:
            set_context(self.device)
        elif DEVICES.current != self.device:
            fail(f"aclrtGetCurrentContext: context of device {DEVICES.current}, session of {self.device}, ret 107002")

    def get_inputs(self) -> list[tensor_desc]:
        return self._inputs

    def get_outputs(self) -> list[tensor_desc]:
        return self._outputs

    def set_dynamic_hw(self, height: int, width: int) -> None:
        self._enter()
        if self.model.options.kind != "dynamic_image_size":
            fail("the dynamic_image_size parameter is not specified for model conversion")
        if [height, width] not in self.model.options.gears:
            fail("the dymHW parameter is not correct")
        say("[INFO] check dynamic image size success.")
        self._set(height, width)

    def set_dynamic_dims(self, text: str) -> None:
        self._enter()
        if self.model.options.kind != "dynamic_dims":
            C.printf(b"the dynamic_dims parameter is not specified for model conversion")  # no newline there either
            raise RuntimeError("ACL: general failure")
        name, _, dims = text.partition(":")
        batch, channels, *gear = (int(dim) for dim in dims.split(","))
        if name != self._inputs[0].name or [batch, channels] != [self.model.options.batch, 3]:
            fail("the dynamic_dims parameter is not correct")
        if gear not in self.model.options.gears:
            fail("the dynamic_dims parameter is not correct")
        self._set(*gear)

    def _set(self, height: int, width: int) -> None:
        self._gear = height, width
        self._inputs[0].realsize = self.model.input_bytes(height, width) * self.model.options.batch
        self.fault = om.Fault(f"{height}x{width}", self.device)

    def run(self, names: list[str], feeds: list[BaseTensor]) -> list[Tensor]:
        self._enter()
        if len(feeds) != len(self._inputs):
            say(f"[WARN] intensors in:{len(feeds)} need:{len(self._inputs)} not match")
            raise RuntimeError("ACL: general failure")
        for i, (feed, wanted) in enumerate(zip(feeds, self._inputs, strict=True)):
            if feed.size != wanted.realsize:
                fail(f"Check i:{i} name:{wanted.name} in size:{feed.size} needsize:{wanted.realsize} not match")
        if self._gear is None:
            say(f"[WARN] check failed dym gearcount:{len(self.model.options.gears)} but dymtype:0 not set")
            raise RuntimeError("ACL: general failure")
        for name in names:
            if name not in {output.name for output in self._outputs}:
                fail(f"outnames {name} not valid")
        start = time.perf_counter()
        content = ctypes.string_at(feeds[0].buf, feeds[0].size)
        MemorySummary.H2D_time_list.append(1000 * (time.perf_counter() - start) + 1e-3)
        try:
            self.fault.before()
        except RuntimeError as e:
            fail(str(e))
        size = self.model.input_bytes(*self._gear)
        images = [content[i : i + size] for i in range(0, len(content), size)]
        start = time.perf_counter()
        outputs = self.model.run(images, *self._gear)
        self._summary.exec_time_list.append(1000 * (time.perf_counter() - start))
        by_name = dict(zip((output.name for output in self._outputs), outputs, strict=True))
        return [Tensor(by_name[name], self.device) for name in names]

    def sumary(self) -> sumary:
        return self._summary

    def reset_sumaryinfo(self) -> None:
        self._summary.exec_time_list.clear()

    def free_resource(self) -> None:
        self._freed = True

    def finalize(self) -> None:
        set_context(self.device)
        self._freed = True
        self.finalize_all()

    @staticmethod
    def finalize_all() -> None:
        say("[INFO] end to finalize acl")
