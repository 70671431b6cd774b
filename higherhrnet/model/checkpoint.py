"""Checkpoints: files of a network's parameters."""

from __future__ import annotations

import os
import warnings

import torch
from torch import Tensor

from higherhrnet.artifacts import sources
from higherhrnet.errors import UserError
from higherhrnet.model.network import HigherHRNet

_LISTED = 5  # how many names an error message shows of a longer list


def load(path: str | os.PathLike[str], network: HigherHRNet) -> None:
    """Fill the network from a checkpoint: a state_dict, plain or under ``state_dict``, with or without ``module.``.

    Names may begin with ``1.``, as in checkpoints trained in mixed precision (FP16.ENABLED, the official 640 ones):
    there the network is the second of three modules.
    Nothing is unpickled but tensors and plain containers (``weights_only=True``).

    Raises
    ------
    UserError : unreadable file, or parameters that are missing, unexpected or of another shape (all are counted, the
        first few are named)
    """
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
    names = [str(name).removeprefix("module.").removeprefix("1.") for name in state]
    if len(set(names)) != len(names):
        raise UserError(f"weights {path}: holds a parameter under two names; save one state_dict with torch.save")
    state = dict(zip(names, state.values(), strict=True))
    expected = network.state_dict()
    # Checkpoints from before PyTorch 0.4.1 lack these counters, which inference never reads.
    for name in expected:
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, expected[name])
    problems = [
        _names("missing", [n for n in expected if n not in state]),
        _names("unexpected", [n for n in state if n not in expected]),
        _names(
            "of another shape",
            [
                f"{n} {list(state[n].shape)} for {list(v.shape)}"
                for n, v in expected.items()
                if n in state and state[n].shape != v.shape
            ],
        ),
        _names(
            "whole numbers for real ones or the reverse",
            [n for n, v in expected.items() if n in state and state[n].is_floating_point() != v.is_floating_point()],
        ),
    ]
    if any(problems):
        raise UserError(
            f"weights {path} do not fit the config's network: {'; '.join(p for p in problems if p)}; "
            f"give the matching --cfg or weights"
        )
    if not all(bool(torch.isfinite(v).all()) for v in state.values()):
        raise UserError(f"weights {path} hold NaN or infinity; download the file again")
    network.load_state_dict(state)


def _is_plain(value: object) -> bool:
    """Whether it is a tensor of real numbers in memory; int64 are the counters of batch normalisation."""
    plain = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64)
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.dtype in plain
        and value.device.type == "cpu"
        and not value.is_nested
    )


def _names(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{len(names)} {what}: {', '.join(names[:_LISTED])}{more}"
