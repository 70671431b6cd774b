"""Checkpoints: files of a network's parameters."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor

from higherhrnet.artifacts import sources
from higherhrnet.errors import UserError
from higherhrnet.model.network import HigherHRNet

_LAST = "final_layers.1.weight"  # of the convolution that gives the heatmaps of output2
_LISTED = 5  # how many names an error message shows of a longer list
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64)  # int64: BatchNorm's counters


def load(path: str | os.PathLike[str], network: HigherHRNet) -> None:
    """Fill the network from a checkpoint: a state_dict, plain or under ``state_dict``, with or without ``module.``.

    Names may begin with ``1.``, as in checkpoints trained in mixed precision (FP16.ENABLED, the official 640 ones):
    there the network is the second of three modules.
    Nothing is unpickled but tensors and plain containers (``weights_only=True``).

    Raises UserError: unreadable file, or parameters that are missing, unexpected or of another shape (all are counted,
    the first few are named).
    """
    expected = network.state_dict()
    # Checkpoints from before PyTorch 0.4.1 lack these counters, which inference never reads.
    counters = {name: value for name, value in expected.items() if name.endswith("num_batches_tracked")}
    state = counters | _renamed(_read(path), path)
    if problems := _differences(state, expected):
        raise UserError(
            f"weights {path} do not fit the config's network: {'; '.join(problems)}; give the matching --cfg or weights"
        )
    if not all(bool(torch.isfinite(value).all()) for value in state.values()):
        raise UserError(f"weights {path} hold NaN or infinity; download the file again")
    network.load_state_dict(state)


def joints(path: str | os.PathLike[str]) -> int | None:
    """The number of heatmaps of a checkpoint's network; None where it is none of a HigherHRNet. Raises as ``load``."""
    last = _renamed(_read(path), path).get(_LAST)
    return None if last is None or not last.ndim else last.shape[0]


def _read(path: str | os.PathLike[str]) -> dict[object, Tensor]:
    """The state_dict in a file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd versions; whether it is sound is checked below
            with sources.open_file(path) as file:
                checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as e:
        raise UserError(f"cannot read weights {path}: {e.strerror or e}; give an existing .pth file") from e
    except MemoryError:
        raise
    except Exception as e:  # whatever the damage leads PyTorch's reader to
        raise UserError(
            f"weights {path}: not a checkpoint that loads as plain tensors ({' '.join(str(e).split())[:160]}); nothing "
            f"was unpickled; download the file again, or save its state_dict alone with torch.save"
        ) from e
    state = checkpoint.get("state_dict", checkpoint) if isinstance(checkpoint, dict) else checkpoint
    if not isinstance(state, dict) or not all(map(_is_plain, state.values())):
        raise UserError(f"weights {path}: holds no state_dict of dense real tensors; save one with torch.save")
    return state


def _is_plain(value: object) -> bool:
    """Whether it is a tensor of real numbers in memory."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.dtype in _DTYPES
        and value.device.type == "cpu"
        and not value.is_nested
    )


def _renamed(state: Mapping[object, Tensor], path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The same parameters under the network's own names."""
    renamed = {str(name).removeprefix("module.").removeprefix("1."): value for name, value in state.items()}
    if len(renamed) != len(state):
        raise UserError(f"weights {path}: holds a parameter under two names; save one state_dict with torch.save")
    return renamed


def _differences(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """What keeps the parameters from fitting, a phrase a kind."""
    both = [(name, state[name], value) for name, value in expected.items() if name in state]
    kinds = {
        "missing": [name for name in expected if name not in state],
        "unexpected": [name for name in state if name not in expected],
        "of another shape": [f"{n} {list(a.shape)} for {list(b.shape)}" for n, a, b in both if a.shape != b.shape],
        "whole numbers for real ones or the reverse": [
            name for name, a, b in both if a.is_floating_point() != b.is_floating_point()
        ],
    }
    return [_counted(kind, names) for kind, names in kinds.items() if names]


def _counted(kind: str, names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{len(names)} {kind}: {', '.join(names[:_LISTED])}{more}"
