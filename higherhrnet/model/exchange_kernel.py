"""The Triton kernel of exchange.Exchange.

Triton rather than CUDA C++: it comes with PyTorch, needs no toolkit on the host, and its interpreter runs the same code
on a CPU, for tests. A program computes a piece of one row of the output, [W, C] in memory, so that all that is divided
by is known when it is compiled.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton  # type: ignore[import-not-found,unused-ignore]
import triton.language as tl  # type: ignore[import-not-found,unused-ignore]
from torch import Tensor

MOST_TERMS = 4
"""Branches of the network."""

_BLOCK = 1024  # values of a program: eight a thread, which is 16 bytes in float16


@triton.jit
def _sum_rows(
    out,
    bias,
    term0,
    term1,
    term2,
    term3,
    height,
    width,
    channels: tl.constexpr,
    factor0: tl.constexpr,
    factor1: tl.constexpr,
    factor2: tl.constexpr,
    factor3: tl.constexpr,
    has_bias: tl.constexpr,
    block: tl.constexpr,
):
    """A piece of row program_id(0) = image * height + row of the output; factors of 0 are terms that are not there."""
    row = tl.program_id(0).to(tl.int64)
    image, y = row // height, row % height
    place = tl.program_id(1) * block + tl.arange(0, block)
    inside = place < width * channels
    x, channel = place // channels, place % channels
    total = tl.zeros((block,), tl.float32)
    if has_bias:
        total += tl.load(bias + channel).to(tl.float32)
    if factor0 > 0:
        above = (image * (height // factor0) + y // factor0) * (width // factor0) * channels
        total += tl.load(term0 + above + x // factor0 * channels + channel, mask=inside, other=0).to(tl.float32)
    if factor1 > 0:
        above = (image * (height // factor1) + y // factor1) * (width // factor1) * channels
        total += tl.load(term1 + above + x // factor1 * channels + channel, mask=inside, other=0).to(tl.float32)
    if factor2 > 0:
        above = (image * (height // factor2) + y // factor2) * (width // factor2) * channels
        total += tl.load(term2 + above + x // factor2 * channels + channel, mask=inside, other=0).to(tl.float32)
    if factor3 > 0:
        above = (image * (height // factor3) + y // factor3) * (width // factor3) * channels
        total += tl.load(term3 + above + x // factor3 * channels + channel, mask=inside, other=0).to(tl.float32)
    total = tl.where(total < 0, 0.0, total)  # which keeps NaN, as ReLU does
    tl.store(out + row * width * channels + place, total.to(out.dtype.element_ty), mask=inside)


def summed(terms: Sequence[Tensor], factors: Sequence[int], bias: Tensor | None) -> Tensor:
    """ReLU of the sum of terms [n, C, H / factor, W / factor], channels last, and of a bias [C]: [n, C, H, W]."""
    n, channels = terms[0].shape[:2]
    height, width = (side * factors[0] for side in terms[0].shape[2:])
    assert len(terms) <= MOST_TERMS
    terms = [term.contiguous(memory_format=torch.channels_last) for term in terms]  # as they are already
    size, like = (n, channels, height, width), terms[0]
    out = torch.empty(size, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)
    missing = MOST_TERMS - len(terms)
    grid = (n * height, triton.cdiv(width * channels, _BLOCK))
    with torch.cuda.device_of(out):  # Triton takes the thread's device, whatever the tensors are on
        _sum_rows[grid](
            out,
            out if bias is None else bias,
            *terms,
            *[out] * missing,
            height,
            width,
            channels,
            *factors,
            *[0] * missing,
            bias is not None,
            _BLOCK,
        )
    return out
