"""What runs the network: the backend and the model that the options mean."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from higherhrnet.artifacts import atomic, dumps, inputs, models
from higherhrnet.backends import external
from higherhrnet.backends.ascend import ais_bench, cann_benchmark, chip, convert, session
from higherhrnet.backends.ascend import options as atc_options
from higherhrnet.backends.ascend.options import AtcOptions
from higherhrnet.backends.base import AUTO, CPU, CUDA, DEVICES, INT8, NPU, Backend
from higherhrnet.backends.in_process import InProcess
from higherhrnet.config.values import Config
from higherhrnet.errors import UserError
from higherhrnet.image import geometry
from higherhrnet.model import origin, quantized
from higherhrnet.model.architecture import Architecture
from higherhrnet.model.quantized import Quantized
from higherhrnet.system import hardware

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

_FOR_INPUTS = {
    inputs.FLOAT32: "no --input_fp16_nodes",
    inputs.FLOAT16: "--input_fp16_nodes input",
    inputs.UINT8: "--aipp",
}

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


@dataclass(frozen=True)
class Choice:
    """A backend's name and, in a few words, why."""

    name: str
    why: str


def choose(requested: str, *, om: bool, benchmark_path: Path | None = None) -> Choice:
    """The backend to use; with 'auto' the first that could work here.

    These are the guide's benchmark tool where it is in the current folder, then ais_bench, in process where it has its
    Python interface, then ONNX Runtime.

    Parameters
    ----------
    om : whether there is an .om of the model
    benchmark_path : where the benchmark tool is, if not in the current folder

    Raises
    ------
    UserError : 'auto' where none could, or where ``benchmark_path`` names nothing
    """
    if requested != "auto":
        return Choice(requested, "requested")
    tool = cann_benchmark.find(benchmark_path) if benchmark_path is None else cann_benchmark.require(benchmark_path)
    ascend = "npu-smi is here" if chip.is_present() else "an .om is here" if om else ""
    if ascend and tool:
        return Choice(BENCHMARK, f"{ascend}, and {tool}")
    without = ais_bench.missing()
    if ascend and not without:
        why = f"{ascend}, ais_bench is installed, {cann_benchmark.file_name()} is not here"
        if no_interface := ais_bench.missing(in_process=True):
            return Choice(AIS_BENCH, f"{why}; {no_interface}")
        return Choice(ASCEND, why)
    also = "; --backend openvino could run it too" if is_installed(OPENVINO) else ""
    nothing = f"neither npu-smi nor an .om is here{also}"
    if ascend:
        nothing = f"{ascend}, but {cann_benchmark.file_name()} is not, and {without}"
    if is_installed(ONNXRUNTIME):
        return Choice(ONNXRUNTIME, nothing)
    raise UserError(
        f"nothing here can run the network: found no onnxruntime, and {nothing}; put {cann_benchmark.file_name()} "
        f"into the current folder, or install ais_bench or onnxruntime"
    )


def is_installed(module: str) -> bool:
    """Whether a backend's package is there."""
    return importlib.util.find_spec(module) is not None


def onnxruntime(
    model: Path,
    *,
    batch: int,
    threads: int,
    providers: Sequence[str] = (),
    device: int = 0,
    done: Callable[[int], object] = lambda _: None,
) -> InProcess:
    """ONNX Runtime on ``model`` .onnx. It is imported here: no other backend needs it."""
    if not is_installed(ONNXRUNTIME):
        raise UserError("onnxruntime is not installed; pip install onnxruntime, or choose another --backend")
    from higherhrnet.backends.onnxruntime import OnnxRuntime  # noqa: PLC0415

    return OnnxRuntime(model, batch=batch, threads=threads, provider_names=providers, device=device, done=done)


def in_process(
    name: str,
    model: Path,
    extra: Mapping,
    *,
    heads: dumps.Heads,
    batch: int,
    threads: int = 0,
    providers: Sequence[str] = (),
    precision: str | None = None,
    device: int = 0,
    devices: tuple[int, ...] = (),
    run_on: str = AUTO,
    tuned: bool = False,
    decode_on: str = HOST,
    done: Callable[[int], object] = lambda _: None,
) -> InProcess:
    """ONNX Runtime or OpenVINO on an .onnx, or PyTorch on a checkpoint; MODEL.EXTRA, ``extra``, describes its network.

    Raises
    ------
    UserError : a library that is not installed, an option of the other one, or what the backend says of ``model``
    """
    if name != OPENVINO and run_on not in DEVICES:
        raise UserError(
            f"--device {run_on} is a name of OpenVINO's; --backend {name} takes auto, cpu, cuda or cuda:N"
            f"{', npu or npu:N' * (name == TORCH)}"
        )
    if run_on == NPU:
        _check_npu(name, tuned=tuned)
    _check_decoder(name, decode_on)
    if name == ONNXRUNTIME:
        if precision is not None:
            raise UserError(
                "--precision is for --backend torch and openvino; in ONNX Runtime an .onnx computes in what it was "
                "exported in, or quantized to"
            )
        if tuned:
            raise UserError("--tune is for --backend torch")
        if run_on == CUDA and not providers:
            providers = ("CUDA", "CPU")
        return onnxruntime(model, batch=batch, threads=threads, providers=providers, device=device, done=done)
    if providers:
        raise UserError(f"--providers is for --backend onnxruntime; {name} has none")
    if name == OPENVINO:
        if not is_installed(OPENVINO):
            raise UserError("openvino is not installed; pip install openvino, or choose another --backend")
        if run_on == CUDA:
            raise UserError(f"--device {CUDA} is for --backend torch and onnxruntime; OpenVINO has CPU, GPU and NPU")
        from higherhrnet.backends import openvino  # noqa: PLC0415

        where = openvino.CPU if run_on in {AUTO, CPU} else run_on
        return openvino.OpenVino(model, batch=batch, precision=precision, device=where, threads=threads, done=done)
    if precision == INT8:
        raise UserError("--precision int8 is for --backend openvino; torch computes in float32, float16 or bfloat16")
    if not is_installed(TORCH):
        raise UserError("torch is not installed; pip install torch, or choose another --backend")
    from higherhrnet.backends.torch import Torch  # noqa: PLC0415

    architecture = Architecture.from_extra(extra, heads)
    return Torch(
        model,
        architecture,
        batch=batch,
        precision=precision,
        devices=devices or (device,),
        threads=threads,
        on=run_on,
        tuned=tuned,
        keeps_maps=decode_on == DEVICE,
        done=done,
    )


def _check_decoder(name: str, decode_on: str) -> None:
    """Refuse what is none, and a device's with what is not torch."""
    if decode_on not in DECODERS:
        raise UserError(f"decode_on is {decode_on!r}, expected {HOST} or {DEVICE}")
    if name != TORCH and decode_on == DEVICE:
        raise UserError(f"--decode_on {DEVICE} is for --backend torch on a GPU; give --decode_on {HOST}")


def _check_npu(name: str, *, tuned: bool) -> None:
    """Refuse what does not go with --device npu."""
    if name == ONNXRUNTIME:
        raise UserError(f"--device {NPU} is for --backend torch; ONNX Runtime takes --providers CANN,CPU")
    if name == OPENVINO:
        raise UserError(f"--device {NPU} is for --backend torch; OpenVINO has CPU, GPU and NPU")
    if tuned:
        raise UserError(f"--tune has cuDNN try its kernels, and --device {NPU} has no cuDNN; omit one of them")


def quantized_remarks(found: Quantized) -> list[str]:
    """What a user should know of an .onnx in INT8 on the CPU here."""
    said = []
    if found.work is None:
        said.append("the model is quantized, and nothing says what it was calibrated on")
    elif found.work.target != "cpu":
        said.append(f"the model is quantized for {found.work.target}: its signed activations are slow on CPUs")
    if not hardware.multiplies_int8():
        said.append("this CPU has no VNNI: INT8 gains less than on one that has it; measure it with higherhrnet table")
        if found.work is None or found.work.weight_bits > 7:
            said.append("without VNNI, sums of 8-bit weights overflow: the people found are wrong; quantize to 7 bits")
    return said


def on_ascend(
    name: str,
    setting: external.Setting,
    *,
    benchmark_path: Path | None,
    dynamic_dims: bool,
    must_run: bool,
) -> Backend:
    """The benchmark tool, ais_bench, or ais_bench's interface in process, on an .om.

    Raises UserError where the tool is not there and ``must_run``; its commands can be printed all the same.
    """
    if name == BENCHMARK:
        if dynamic_dims:
            raise UserError(
                "--dynamic dims goes with --backend ascend and ais_bench: the benchmark tool has no option for it"
            )
        tool = cann_benchmark.find(benchmark_path)
        if tool is not None or must_run:
            tool = cann_benchmark.require(benchmark_path)
        return cann_benchmark.CannBenchmark(setting, tool or benchmark_path or Path(cann_benchmark.file_name()))
    if must_run and (why := ais_bench.missing(in_process=name == ASCEND)):
        raise UserError(f"--backend {name}: {why}; install Ascend's wheels aclruntime and ais_bench for this python3")
    if name == ASCEND:
        return session.Ascend(setting, dynamic_dims=dynamic_dims)
    return ais_bench.AisBench(setting, dynamic_dims=dynamic_dims)


@dataclass(frozen=True)
class Om:
    """An .om that the user gave: nothing is converted."""

    path: Path


@dataclass(frozen=True)
class Checkpoint:
    """What torch runs as it is."""

    path: Path


Model = convert.Request | Om | Checkpoint
"""What was asked for; a Request is an .onnx, which runs as it is or becomes an .om."""


class Inference:
    """A model and the options to run it with, for the network of a configuration."""

    def __init__(self, options: InferenceOptions, config: Config, *, convert_only: bool = False) -> None:
        """Find the model's file; nothing is converted or loaded.

        Raises
        ------
        UserError : no model, several, or options that contradict each other
        """
        self.options = options
        self.short_side = config.plan.short_side
        self.heads = config.heads
        self._shapes = tuple(geometry.shapes(config.plan))
        self._extra = config.extra
        self._quantized: Quantized | None = None
        if options.backend == TORCH:
            self._model: Model = _checkpoint(options, config, converts=convert_only or options.auto_tune)
        else:
            self._model = _convertible(options, self._shapes, config.heads, converts=convert_only or options.auto_tune)
            if isinstance(self._model, convert.Request):
                _check_origin(self._model.onnx, config, given=options.model is not None)
                self._quantized = _checked(self._model.onnx, config)

    def on(self, devices: tuple[int, ...]) -> Inference:
        """The same on other devices."""
        other = copy.copy(self)
        other.options = replace(self.options, device_ids=devices)
        return other

    @property
    def file(self) -> Path:
        """The model as it was found, before anything is made of it."""
        return self._model.onnx if isinstance(self._model, convert.Request) else self._model.path

    @property
    def joints(self) -> int | None:
        """Joints of the network, checked to be the configuration's; None of an .om, which does not say it."""
        return None if isinstance(self._model, Om) else self.heads.joints

    def choose(self) -> Choice:
        """The backend, and why."""
        model = self._model
        has_om = isinstance(model, Om) or (isinstance(model, convert.Request) and bool(model.om))
        return choose(self.options.backend, om=has_om, benchmark_path=self.options.benchmark_path)

    def where(self, backend: str) -> str:
        """What computes, for the first line; '' of a program of its own and of ONNX Runtime, which say it themselves.

        Raises UserError where it is not there.
        """
        if backend != TORCH or not is_installed(TORCH):
            return ""
        from higherhrnet.backends import torch_device  # noqa: PLC0415

        options = self.options
        index = options.device_ids[0] if options.device_ids else options.device
        return f", on {torch_device.choose(options.run_on, index)}"

    def remarks(self, backend: str) -> list[str]:
        """What a user should know of an .onnx in INT8 before it runs."""
        if self._quantized is None or backend in ON_ASCEND:
            return []
        return quantized_remarks(self._quantized)

    def input_dtype(self, backend: str) -> str:
        """What inputs a backend takes: uint8 with AIPP, else the dumps' type, where the backend can."""
        if self.options.aipp:
            return inputs.UINT8
        return self.options.atc.input_dtype if backend in ON_ASCEND else self.options.dtype

    def check_inputs(self, backend: str, source: str, dtype: str, shapes: dict[tuple[int, int], str]) -> None:
        """Refuse before anything starts what would not fit the .om.

        Parameters
        ----------
        source, dtype : of the inputs
        shapes : (H, W) of the inputs, and where each was found
        """
        if backend not in ON_ASCEND:
            return
        expected = self.input_dtype(backend)
        if dtype != expected:
            if inputs.FLOAT16 in {dtype, expected}:
                without = "with" if expected == inputs.FLOAT16 else "without"
                raise UserError(
                    f"the inputs in {source} are {dtype}, an .om {without} --input_fp16_nodes takes {expected}; give "
                    f"--dtype {expected} to HigherHRNet_preprocess.py, or {_FOR_INPUTS[dtype]} to this script"
                )
            raise UserError(
                f"the inputs in {source} are {dtype}, an .om {'with' if self.options.aipp else 'without'} --aipp takes "
                f"{expected}; give --aipp to both HigherHRNet_preprocess.py and this script, or to neither"
            )
        for shape, place in shapes.items():
            if shape not in self._shapes:
                raise UserError(
                    f"{place}: shape {shape[0]}x{shape[1]} is none of the {len(self._shapes)} of DATASET.INPUT_SIZE "
                    f"{self.short_side}; give the --cfg and overrides that preprocessing was given, and preprocess "
                    f"without --no_long_side_limit"
                )

    def model(self, backend: str, *, print_commands: bool = False) -> Path:
        """The model the backend runs, converted first where that is needed."""
        model = self._model
        if isinstance(model, Checkpoint):
            return model.path
        if backend not in ON_ASCEND:
            if isinstance(model, Om):
                raise UserError(f"backend {backend} does not run {model.path}; give the .onnx with --model")
            return model.onnx
        if isinstance(model, Om):
            return model.path
        if self._quantized is not None:
            raise UserError(
                f"model {model.onnx} is quantized, and ATC takes no QDQ nodes; give the float32 .onnx, and see "
                f"higherhrnet quantize --target ascend"
            )
        return self.make_om(why="--auto_tune" if self.options.auto_tune else "", print_commands=print_commands)

    def make_om(self, *, why: str = "", print_commands: bool = False) -> Path:
        """Make the .om where it is missing or stale, or in any case because of ``why``."""
        request = self._model
        assert isinstance(request, convert.Request), "others were refused when the options were read"
        found = convert.find(request)
        if not why and not found.why:
            return found.om
        if print_commands:
            print("\n".join(convert.commands(request)))
            return found.om
        why = found.why or why
        tuning = ", tuning hours" * self.options.auto_tune
        print(f"atc: making {request.output}.om ({why}); this takes minutes{tuning}", flush=True)
        made = convert.run(request, why=why, timeout=self.options.timeout)
        print(f"atc: {made.om}")
        for kept in made.kept:
            print(f"note: what was there and not made by this program is {kept} now")
        return made.om

    def backend(
        self, name: str, model: Path, *, logs: Path, done: Callable[[int], object], must_run: bool = True
    ) -> Backend:
        """Make the backend; ``done`` is called with numbers of images while they are made."""
        options = self.options
        if name not in ON_ASCEND:
            made = in_process(
                name,
                model,
                self._extra,
                heads=self.heads,
                batch=options.batch,
                threads=options.threads,
                providers=options.providers,
                precision=options.precision,
                run_on=options.run_on,
                tuned=options.tuned,
                decode_on=options.decode_on,
                device=options.device_ids[0] if options.device_ids else options.device,
                devices=options.device_ids,
                done=done,
            )
            if len(options.device_ids) > 1 and not made.has_devices:
                raise UserError(
                    f"--device_ids names {len(options.device_ids)} devices, {made.name} runs on one; give that alone, "
                    f"or a --shard to each"
                )
            return made
        if options.run_on != AUTO:
            raise UserError(f"--device {options.run_on} is for backends in this process; {name} runs on the NPU")
        setting = external.Setting(
            model,
            options.batch,
            self.heads,
            largest=self._shapes[0],
            logs=logs,
            timeout=options.timeout,
            done=done,
            input_dtype=self.input_dtype(name),
            output_dtype=options.atc.output_dtype,
        )
        return on_ascend(
            name,
            setting,
            benchmark_path=options.benchmark_path,
            dynamic_dims=options.dynamic_dims,
            must_run=must_run,
        )


def _checked(onnx: Path, config: Config) -> Quantized | None:
    """What is known of a quantized .onnx; refuse one whose ranges are of inputs of another size."""
    found = quantized.read(onnx)
    made = found.work.inputs if found is not None and found.work is not None else None
    if made is not None and made.work.short_side != config.plan.short_side:
        raise UserError(
            f"model {onnx} was calibrated on inputs of short side {made.work.short_side}, config {config.file} says "
            f"DATASET.INPUT_SIZE {config.plan.short_side}; quantize the float32 .onnx again on inputs of that size"
        )
    return found


def _checkpoint(options: InferenceOptions, config: Config, *, converts: bool) -> Checkpoint:
    if converts:
        raise UserError("--convert_only and --auto_tune make an .om; --backend torch runs the checkpoint itself")
    if options.model is not None and options.model.suffix in {".onnx", ".om"}:
        raise UserError(f"--backend torch runs a checkpoint (.pth), but --model is {options.model}; give the .pth")
    path = checkpoint_of(options.model, config)
    check_checkpoint(path, config)
    return Checkpoint(path)


def checkpoint_of(given: Path | None, config: Config) -> Path:
    """The checkpoint that a flag or TEST.MODEL_FILE names, or the one in ``MODELS``."""
    if given is not None and config.weights is not None and not models.same_file(given, config.weights):
        raise UserError(f"--model {given} and TEST.MODEL_FILE {config.weights} are two checkpoints; give one")
    return given or config.weights or models.find_checkpoint(MODELS)


def check_checkpoint(path: Path, config: Config) -> None:
    """Refuse a checkpoint of another number of joints than the configuration's."""
    if is_installed(TORCH):  # where it is not, the backend says so
        from higherhrnet.model import checkpoint  # noqa: PLC0415  # imports torch

        config.check_joints(checkpoint.joints(path), path)


def _convertible(
    options: InferenceOptions, shapes: tuple[tuple[int, int], ...], heads: dumps.Heads, *, converts: bool
) -> convert.Request | Om:
    """An .onnx, given or found, or an .om."""
    if options.aipp and options.dynamic_dims:
        raise UserError("--aipp does not go with --dynamic dims: ATC takes AIPP with --dynamic image_size only")
    atc_options.check(options.atc, aipp=options.aipp)
    model = options.model or _found(options)
    if model.suffix != ".om":
        return convert.Request(
            model,
            options.batch,
            shapes,
            heads,
            soc_version=options.soc_version,
            aipp=options.aipp,
            dynamic_dims=options.dynamic_dims,
            auto_tune=options.auto_tune,
            device=options.device,
            chosen=options.atc,
        )
    if converts:
        raise UserError(f"--convert_only and --auto_tune make an .om, but the model is {model}; give an .onnx")
    for flag, given in (
        ("--soc_version", options.soc_version),
        ("--precision_mode", options.atc.precision_mode),
        ("--atc_args", options.atc.others),
    ):
        if given:
            raise UserError(f"{flag} is for converting, but {model} is converted already; omit it")
    if not model.is_file():
        raise UserError(f"model {model} does not exist; correct --model")
    convert.check_made(model, options.atc, aipp=options.aipp, dynamic_dims=options.dynamic_dims)
    return Om(model)


def check_onnx(onnx: Path, config: Config) -> None:
    """Refuse an .onnx of another number of joints, or of other weights than TEST.MODEL_FILE's."""
    config.check_joints(origin.joints(onnx), onnx)
    if config.weights is None or models.same_file(onnx, config.weights):
        return
    if origin.weights(onnx) != atomic.sha256(config.weights):
        raise UserError(
            f"model {onnx} was not exported from TEST.MODEL_FILE {config.weights}, as far as it says; run "
            f"HigherHRNet_pth2onnx.py --weights {config.weights}, or omit TEST.MODEL_FILE"
        )


def _check_origin(onnx: Path, config: Config, *, given: bool) -> None:
    """Refuse an .onnx of another network, and one found, not given, whose checkpoint has changed."""
    check_onnx(onnx, config)
    origin.check(onnx, Architecture.from_extra(config.extra, config.heads), config.file)
    if not given and (why := origin.stale(onnx)):
        raise UserError(f"{why}; run HigherHRNet_pth2onnx.py again, or name the model with --model to use it as it is")


def _found(options: InferenceOptions) -> Path:
    """The .onnx in ``MODELS`` or, on a host to which none was copied, the .om."""
    try:
        return models.find_onnx(MODELS, options.batch)
    except UserError:
        om = models.find_om(MODELS, options.batch, aipp=options.aipp, dynamic_dims=options.dynamic_dims)
        if om is None:
            raise
        return om
