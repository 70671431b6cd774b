"""The stand-ins' .om: a zip of the .onnx, its outputs in --out_nodes order, and what ATC was told; run by ONNX Runtime.

No part of Ascend's tools. What a stand-in needs of the network, and how it fails when a test wants it to, is here.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass
class Options:
    """What ATC was told, as far as a run depends on it."""

    batch: int
    gears: list[list[int]]
    kind: str
    """dynamic_image_size or dynamic_dims."""
    aipp: dict[str, str] | None
    soc_version: str
    inputs: str = "float32"
    """float16 with --input_fp16_nodes."""
    outputs: str = "float32"
    """float16 with --output_type=FP16."""


def write(path: Path, model: bytes, options: Options) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        # A fixed time: the same conversion gives the same bytes.
        archive.writestr(zipfile.ZipInfo("model.onnx"), model)
        archive.writestr(zipfile.ZipInfo("options.json"), json.dumps(asdict(options)))


class Model:
    """A loaded .om."""

    def __init__(self, path: Path) -> None:
        import onnxruntime  # noqa: PLC0415

        with zipfile.ZipFile(path) as archive:
            self.options = Options(**json.loads(archive.read("options.json")))
            content = archive.read("model.onnx")
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = int(os.environ.get("STAND_IN_THREADS", "1"))
        self.session = onnxruntime.InferenceSession(content, settings, providers=["CPUExecutionProvider"])

    @property
    def largest(self) -> tuple[int, int]:
        height, width = max(self.options.gears, key=lambda gear: gear[0] * gear[1])
        return height, width

    def input_bytes(self, height: int, width: int) -> int:
        """Bytes of one image."""
        return height * width * 3 * (1 if self.options.aipp else 2 if self.options.inputs == "float16" else 4)

    def run(self, images: list[bytes], height: int, width: int) -> list[np.ndarray]:
        """Outputs [N, C, h, w] in --out_nodes order of a full batch of input files."""
        import numpy as np  # noqa: PLC0415  # not for the programs that run no network

        assert len(images) == self.options.batch
        if aipp := self.options.aipp:
            pixels = np.stack([np.frombuffer(i, np.uint8).reshape(height, width, 3) for i in images])
            low = np.array([float(aipp[f"min_chn_{c}"]) for c in range(3)])
            factor = np.array([float(aipp[f"var_reci_chn_{c}"]) for c in range(3)])
            batch = np.ascontiguousarray(((pixels - low) * factor).transpose(0, 3, 1, 2), np.float32)
        else:
            kind = np.dtype(self.options.inputs)
            batch = np.stack([np.frombuffer(i, kind).reshape(3, height, width) for i in images]).astype(np.float32)
        outputs = self.session.run(None, {self.session.get_inputs()[0].name: batch})
        return [output.astype(self.options.outputs) for output in outputs]


def check_device(device: int) -> bool:
    """Whether the host has the device; tests name others in STAND_IN_DEVICES."""
    return str(device) in os.environ.get("STAND_IN_DEVICES", "0,1,2,3").split(",")


def log_call(instead: str = "") -> None:
    """Append this call to the file a test named: its arguments, or ``instead`` what a library was told."""
    if file := os.environ.get("STAND_IN_CALLS"):
        argv = instead.split() or [Path(sys.argv[0]).name, *sys.argv[1:]]
        with Path(file).open("a") as calls:
            calls.write(json.dumps({"argv": argv, "cwd": str(Path.cwd())}) + "\n")


class Fault:
    """A failure that a test ordered in the environment: STAND_IN_FAULT=KIND[:NUMBER[:SHAPE]]."""

    def __init__(self, shape: str, device: int = 0) -> None:
        kind, _, rest = os.environ.get("STAND_IN_FAULT", "").partition(":")
        number, _, where = rest.partition(":")
        self.kind = kind if where in {"", shape, f"device{device}"} else ""
        self.number = int(number or 0)
        self.done = 0

    def before(self) -> None:
        """Called before an image's dumps are written."""
        if self.kind and self.done == self.number:
            if self.kind == "crash":
                print("terminate called after throwing an instance of 'std::bad_alloc'", flush=True)
                os._exit(3)
            if self.kind == "device":
                raise RuntimeError("acl execute failed:507011")
            if self.kind == "signal":
                os.kill(os.getpid(), signal.SIGSEGV)
            if self.kind == "hang":
                self._hang()
        self.done += 1

    def _hang(self) -> None:
        child = os.fork()  # a grandchild must end with the group too
        if pids := os.environ.get("STAND_IN_PIDS"):
            with Path(pids).open("a") as file:
                file.write(f"{os.getpid()}\n")
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)

    def write(self, path: Path, content: bytes) -> None:
        """Write a dump, or what the fault leaves of it."""
        if self.kind == "short" and self.done == self.number + 1:
            content = content[: len(content) // 3]
        if self.kind == "full" and self.done > self.number:
            path.write_bytes(content[:4096])  # a stream on a full disk keeps what fitted and sets a bit nobody reads
            print("[ERROR] write file failed: No space left on device")
            return
        path.write_bytes(content)
