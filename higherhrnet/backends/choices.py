"""What a user may say about how the network runs, and the names of backends and of what they have."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from higherhrnet.artifacts import dumps
from higherhrnet.backends.ascend import ais_bench, cann_benchmark, session
from higherhrnet.backends.ascend.options import AtcOptions
from higherhrnet.backends.base import AUTO

ONNXRUNTIME = "onnxruntime"
TORCH = "torch"
OPENVINO = "openvino"
AIS_BENCH = ais_bench.NAME
ASCEND = session.NAME
BENCHMARK = cann_benchmark.NAME
BACKENDS = ("auto", BENCHMARK, ASCEND, AIS_BENCH, ONNXRUNTIME, TORCH, OPENVINO)
ON_ASCEND = frozenset({BENCHMARK, ASCEND, AIS_BENCH})
"""Backends that run an .om."""
PROGRAMS = frozenset({BENCHMARK, AIS_BENCH})
"""Backends that run another program, through files."""

HOST, DEVICE = DECODERS = ("host", "device")
"""Where maps are searched for people: device is torch's alone, on a GPU."""

MODELS = Path("models")
"""Where models are looked for."""


@dataclass(frozen=True)
class InferenceOptions:
    """What a user may say about how the network runs."""

    backend: str = "auto"
    """One of BACKENDS."""
    model: Path | None = None
    """.onnx, .om or, for torch, a checkpoint; None looks in ``MODELS``."""
    batch: int = 1
    device_id: int | None = None
    """Names the files; by default the first of ``device_ids``, or 0."""
    device_ids: tuple[int, ...] = ()
    """Devices that share the work."""
    threads: int = 0
    """Of the CPU; 0 leaves their number to the backend."""
    providers: tuple[str, ...] = ()
    precision: str | None = None
    run_on: str = AUTO
    """Of the backends that run in this process: one of base.DEVICES, or OpenVINO's name of a device."""
    tuned: bool = False
    """Whether cuDNN tries its kernels at each shape: torch on a GPU."""
    decode_on: str = HOST
    """One of DECODERS: where maps are searched for people."""
    dtype: str = dumps.FLOAT32
    """Of the dumps, and of inputs where the backend takes float16."""
    benchmark_path: Path | None = None
    """The benchmark tool, if not in the current folder."""
    soc_version: str | None = None
    auto_tune: bool = False
    aipp: bool = False
    dynamic_dims: bool = False
    atc: AtcOptions = field(default_factory=AtcOptions)
    """What ATC is told beside that."""
    timeout: float = 0
    """Seconds that one run of a program may take; 0 is no limit."""

    @property
    def device(self) -> int:
        """The device that names the files."""
        if self.device_id is not None:
            return self.device_id
        return self.device_ids[0] if self.device_ids else 0
