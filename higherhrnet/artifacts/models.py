"""Model files under models/: {name}_bs{N}_dynamic.onnx, what ATC makes of it, and the record beside an .om."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from higherhrnet.artifacts import atomic, fields
from higherhrnet.errors import UserError


def onnx_name(weights: Path, batch: int) -> str:
    """The guide's name of the export of a checkpoint; batch -1 is a dynamic one."""
    return f"{weights.stem}_bs{batch}_dynamic.onnx"


def find_onnx(folder: Path, batch: int) -> Path:
    """The one export of this batch size (or, failing that, of a dynamic one) in a folder.

    Raises
    ------
    UserError : none, or several to choose from
    """
    for size in (batch, -1):
        if found := _only(folder, f"*_bs{size}_dynamic.onnx", size):
            return found
    raise UserError(
        f"{folder} holds no *_bs{batch}_dynamic.onnx; run HigherHRNet_pth2onnx.py --bs {batch}, or give --model"
    )


def find_checkpoint(folder: Path) -> Path:
    """The one checkpoint (.pth) in a folder.

    Raises
    ------
    UserError : none, or several to choose from
    """
    found = sorted(folder.glob("*.pth"))
    if len(found) != 1:
        names = f" ({', '.join(f.name for f in found)})" if found else ""
        raise UserError(f"{folder} holds {len(found) or 'no'} checkpoints{names}; give one with --model")
    return found[0]


def find_om(folder: Path, batch: int, *, aipp: bool, dynamic_dims: bool) -> Path | None:
    """The one .om of this batch size in a folder, for a host to which no .onnx was copied; None without any.

    Raises
    ------
    UserError : several to choose from
    """
    return _only(folder, f"*_bs{batch}_dynamic{_suffix(aipp=aipp, dynamic_dims=dynamic_dims)}.om", batch)


def _only(folder: Path, pattern: str, batch: int) -> Path | None:
    found = sorted(folder.glob(pattern))
    if len(found) > 1:
        raise UserError(
            f"{folder} holds {len(found)} models of batch size {batch} ({', '.join(f.name for f in found)}); "
            f"choose one with --model"
        )
    return found[0] if found else None


def om_output(onnx: Path, batch: int, *, aipp: bool, dynamic_dims: bool) -> Path:
    """ATC's --output for an .onnx: the guide's name, the .onnx's without suffix.

    Other kinds of .om get a suffix, and one of a dynamic batch its own batch size, so that none replaces another.
    """
    name = onnx.stem.replace("_bs-1_", f"_bs{batch}_")
    return onnx.with_name(name + _suffix(aipp=aipp, dynamic_dims=dynamic_dims))


def _suffix(*, aipp: bool, dynamic_dims: bool) -> str:
    return "_aipp" * aipp + "_dims" * dynamic_dims


@dataclass(frozen=True)
class OmRecord:
    """What made an .om. An .om without a record was made by hand, with the guide's command for example."""

    onnx: str
    """SHA-256 of the .onnx."""
    settings: dict[str, str]
    """ATC's options that decide what the .om computes."""
    soc_version: str
    complete: bool = False
    """False from before ATC starts until it has succeeded: an .om of a run that was killed is not trusted."""


def om_record_path(output: Path) -> Path:
    """Where the record of ATC's ``output`` lies."""
    return output.with_name(f"{output.name}.om.json")


def read_om_record(output: Path) -> OmRecord | None:
    """The record of ATC's ``output``, None where there is none or it is not one of ours."""
    path = om_record_path(output)
    if not path.exists():
        return None
    return fields.parse(atomic.read_json(path, "record"), OmRecord, f"record {path}", "remove it")


def write_om_record(output: Path, record: OmRecord) -> None:
    """Write the record of ATC's ``output``."""
    atomic.write_json(om_record_path(output), dataclasses.asdict(record))
