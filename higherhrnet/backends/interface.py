"""Whether a model that a library has loaded is one of ours: its input and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from higherhrnet.artifacts import dumps, inputs
from higherhrnet.errors import UserError
from higherhrnet.model.onnx_graph import INPUT, OUTPUTS

FLOAT = "tensor(float)"
"""The type of all ports, as ONNX Runtime calls it."""


class Port(NamedTuple):
    """An input or output."""

    name: str
    type: str
    shape: Sequence[int | str | None]
    """A number where a dimension is fixed."""


def check(model: Path, taken: Sequence[Port], given: Sequence[Port], batch: int) -> dumps.Heads:
    """How many maps the network gives.

    Parameters
    ----------
    taken, given : the model's inputs and outputs

    Raises
    ------
    UserError : other names, types, dimensions or channels than an export of ours has, or another batch size
    """
    remedy = "export it with HigherHRNet_pth2onnx.py"
    names, outputs = [port.name for port in taken], tuple(port.name for port in given)
    if names != [INPUT] or outputs != OUTPUTS:
        raise UserError(
            f"model {model}: found input {', '.join(names)} and outputs {', '.join(outputs)}, expected {INPUT} and "
            f"{', '.join(OUTPUTS)}; {remedy}"
        )
    ports = (*taken, *given)
    kinds = {port.type for port in ports}
    channels = [port.shape[1] if len(port.shape) == 4 else None for port in ports]
    numbers = [count for count in channels if isinstance(count, int)]
    if kinds != {FLOAT} or len(numbers) != len(ports):
        raise UserError(
            f"model {model}: found {', '.join(sorted(kinds))} of shapes {str([list(p.shape) for p in ports])[:160]}, "
            f"expected float32 of four dimensions with known channels; {remedy}"
        )
    read, maps, joints = numbers
    if read != inputs.CHANNELS or not joints < maps <= 2 * joints:
        raise UserError(
            f"model {model}: found {read} channels in, {maps} and {joints} out, expected 3 in, heatmaps with tag "
            f"maps out and heatmaps alone; {remedy}"
        )
    fixed = taken[0].shape[0]
    if isinstance(fixed, int) and fixed != batch:
        raise UserError(f"model {model} takes batches of {fixed}, not {batch}; {remedy} --bs {batch}")
    return dumps.Heads(joints, maps - joints)
