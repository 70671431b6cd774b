"""What runs the network: the backend and the model that the options mean."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from higherhrnet.artifacts import inputs, seen
from higherhrnet.backends import external, factory, model_file
from higherhrnet.backends.ascend import ais_bench, cann_benchmark, chip, convert
from higherhrnet.backends.base import AUTO, Backend
from higherhrnet.backends.choices import (
    AIS_BENCH,
    ASCEND,
    BENCHMARK,
    ON_ASCEND,
    ONNXRUNTIME,
    OPENVINO,
    TORCH,
    InferenceOptions,
)
from higherhrnet.backends.model_file import Checkpoint, Om
from higherhrnet.config.values import Config
from higherhrnet.errors import UserError
from higherhrnet.image import geometry
from higherhrnet.model.quantized import Quantized
from higherhrnet.system import hardware
from higherhrnet.system.packages import is_installed

_FOR_INPUTS = {
    inputs.FLOAT32: "no --input_fp16_nodes",
    inputs.FLOAT16: "--input_fp16_nodes input",
    inputs.UINT8: "--aipp",
}


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
        self._checked: dict[Path, seen.Stamp] = {}
        if options.backend == TORCH:
            self._model: model_file.Model = model_file.checkpoint(
                options, config, converts=convert_only or options.auto_tune
            )
        else:
            self._model = model_file.convertible(
                options, self._shapes, config.heads, converts=convert_only or options.auto_tune
            )
            if isinstance(self._model, convert.Request):
                if self.file.is_file():  # which is said below otherwise
                    self._checked = seen.look([self.file])
                model_file.check_origin(self._model.onnx, config, given=options.model is not None)
                self._quantized = model_file.quantization(self._model.onnx, config)

    def on(self, devices: tuple[int, ...]) -> Inference:
        """The same on other devices."""
        other = copy.copy(self)
        other.options = replace(self.options, device_ids=devices)
        return other

    def elsewhere(self) -> Inference:
        """The same for another machine, where the model is another file, to be known by its content."""
        other = copy.copy(self)
        other._checked = {}
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
        """Make the backend; ``done`` is called with numbers of images while they are made.

        Raises UserError where that fails, or where the .onnx is not the one any more that was checked before.
        """
        options = self.options
        if name not in ON_ASCEND:
            made = factory.in_process(
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
                largest=inputs.largest(self._shapes),
                device=options.device_ids[0] if options.device_ids else options.device,
                devices=options.device_ids,
                done=done,
            )
            if len(options.device_ids) > 1 and not made.has_devices:
                raise UserError(
                    f"--device_ids names {len(options.device_ids)} devices, {made.name} runs on one; give that alone, "
                    f"or a --shard to each"
                )
            if model == self.file and seen.changed(self._checked, self._checked):
                raise UserError(f"model {model} was replaced or written to while it was being checked; run again")
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
        return factory.on_ascend(
            name,
            setting,
            benchmark_path=options.benchmark_path,
            dynamic_dims=options.dynamic_dims,
            must_run=must_run,
        )
