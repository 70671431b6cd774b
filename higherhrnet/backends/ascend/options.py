"""What a user may tell ATC beside what follows from the network: its precision, types of inputs and outputs, the rest.

Names, values and what excludes what: CANN's reference of ATC, and ge/offline/main.cc of
github.com/mindspore-ai/graphengine at 12e7b59b.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from higherhrnet.artifacts import atomic
from higherhrnet.artifacts.inputs import FLOAT16, FLOAT32
from higherhrnet.errors import UserError

PRECISION_MODES = (
    "force_fp16",
    "force_fp32",
    "cube_fp16in_fp32out",
    "must_keep_origin_dtype",
    "allow_fp32_to_fp16",
    "allow_fp32_to_bf16",
    "allow_mix_precision",
    "allow_mix_precision_fp16",
    "allow_mix_precision_bf16",
)
"""ATC's; a chip may lack some. Without the option it is force_fp16."""
OUTPUT_TYPES = {"FP32": FLOAT32, "FP16": FLOAT16}

_OPTION = re.compile(r"--([A-Za-z]\w*)(?:=(.*))?", re.DOTALL)
# Those that are set here, by what a user gives instead.
_OURS = {
    "framework": "",
    "model": "--model",
    "output": "",
    "input_format": "--dynamic",
    "input_shape": "--bs",
    "dynamic_image_size": "--dynamic and DATASET.INPUT_SIZE",
    "dynamic_dims": "--dynamic and DATASET.INPUT_SIZE",
    "out_nodes": "",
    "soc_version": "--soc_version",
    "insert_op_conf": "--aipp",
    "precision_mode": "--precision_mode",
    "output_type": "--output_type",
    "input_fp16_nodes": "--input_fp16_nodes",
    "auto_tune_mode": "--auto_tune",
    "job_type": "--auto_tune",
    "device": "--device_id",
}
# With these ATC makes no .om, or one of other inputs or outputs than all that follows is for.
_UNFIT = {
    "mode",
    "om",
    "json",
    "singleop",
    "weight",
    "help",
    "dynamic_batch_size",
    "input_shape_range",
    "is_input_adjust_hw_layout",
    "is_output_adjust_hw_layout",
    "out_tensor_names",
}
_WITHOUT_EFFECT = frozenset({"log"})
"""On what an .om computes."""


@dataclass(frozen=True)
class AtcOptions:
    """What the user chose; the defaults are ATC's."""

    precision_mode: str | None = None
    """One of PRECISION_MODES."""
    input_fp16_nodes: str = ""
    """The input's name, where the .om is to take float16."""
    output_type: str = ""
    """One of OUTPUT_TYPES; '' leaves it to ATC, which keeps the .onnx's float32."""
    others: tuple[tuple[str, str], ...] = ()
    """Name, without dashes, and value of each further option."""

    @property
    def input_dtype(self) -> str:
        """What the .om takes, where AIPP does not decide it."""
        return FLOAT16 if self.input_fp16_nodes else FLOAT32

    @property
    def output_dtype(self) -> str:
        """What the .om gives."""
        return OUTPUT_TYPES.get(self.output_type, FLOAT32)

    def settings(self) -> dict[str, str]:
        """The options as ATC takes them, by name without dashes."""
        ours = {
            "precision_mode": self.precision_mode,
            "input_fp16_nodes": self.input_fp16_nodes,
            "output_type": self.output_type,
        }
        return {name: value for name, value in ours.items() if value} | dict(self.others)

    def recorded(self) -> dict[str, str]:
        """The same as an .om's record keeps them: what decides nothing left out, and files by their content."""
        of_others = {name: _content(value) for name, value in self.others}
        return {name: of_others.get(name, v) for name, v in self.settings().items() if name not in _WITHOUT_EFFECT}


def parse(text: str) -> tuple[tuple[str, str], ...]:
    """Options as a shell line has them, ``--name=value`` or ``--name value``; no shell ever sees them.

    Raises
    ------
    UserError : no such list, an option twice, one that is set here, or one that this program has no use for
    """
    try:
        words = shlex.split(text)
    except ValueError as e:
        raise UserError(f"--atc_args {text[:80]!r}: {e}; quote each value as for a shell") from e
    found: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        match = _OPTION.fullmatch(word)
        value = None
        if match:
            value = match[2] if match[2] is not None else next(rest, None)
        if match is None or not value or _OPTION.fullmatch(value):
            raise UserError(f"--atc_args: found {word[:80]!r}, expected options with values, such as --name=value")
        name = match[1]
        if name in _OURS:
            instead = f"give {_OURS[name]} instead" if _OURS[name] else "omit it"
            raise UserError(f"--atc_args: --{name} is set by this program; {instead}")
        if name in _UNFIT:
            raise UserError(f"--atc_args: with --{name} ATC makes no .om that could be used here; omit it")
        if name in found:
            raise UserError(f"--atc_args: --{name} is given twice; give it once")
        found[name] = value
    return tuple(found.items())


def check(chosen: AtcOptions, *, aipp: bool) -> None:
    """Refuse what contradicts itself.

    Raises
    ------
    UserError : naming both options
    """
    if chosen.input_fp16_nodes and aipp:
        raise UserError("--input_fp16_nodes does not go with --aipp, whose inputs are uint8 (ATC's E10034); omit one")
    others = dict(chosen.others)
    if chosen.precision_mode and "precision_mode_v2" in others:
        raise UserError("--precision_mode does not go with --precision_mode_v2 of --atc_args; omit one")


def _content(value: str) -> str:
    return atomic.sha256(Path(value)) if os.path.isfile(value) else value
