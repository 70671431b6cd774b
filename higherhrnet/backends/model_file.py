"""The model that the options mean: found, and checked to be of the configuration's network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from higherhrnet.artifacts import atomic, dumps, models
from higherhrnet.backends.ascend import convert
from higherhrnet.backends.ascend import options as atc_options
from higherhrnet.backends.choices import MODELS, TORCH, InferenceOptions
from higherhrnet.config.values import Config
from higherhrnet.errors import UserError
from higherhrnet.model import origin, quantized
from higherhrnet.model.architecture import Architecture
from higherhrnet.model.quantized import Quantized
from higherhrnet.system.packages import is_installed


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


def quantization(onnx: Path, config: Config) -> Quantized | None:
    """What is known of a quantized .onnx; refuse one whose ranges are of inputs of another size."""
    found = quantized.read(onnx)
    made = found.work.inputs if found is not None and found.work is not None else None
    if made is not None and made.work.short_side != config.plan.short_side:
        raise UserError(
            f"model {onnx} was calibrated on inputs of short side {made.work.short_side}, config {config.file} says "
            f"DATASET.INPUT_SIZE {config.plan.short_side}; quantize the float32 .onnx again on inputs of that size"
        )
    return found


def checkpoint(options: InferenceOptions, config: Config, *, converts: bool) -> Checkpoint:
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


def convertible(
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


def check_origin(onnx: Path, config: Config, *, given: bool) -> None:
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
