"""An exchange's output in one kernel: the sum of all branches, each brought to one resolution, its biases, and ReLU.

PyTorch takes a kernel for each upsampling, bias, sum and ReLU: at a batch of 64, W32 and float16, a quarter of the
network's time on an H100. All that is moved here is each term once and the output once. For GPUs alone: on a CPU the
network stays as ``fusion.fuse`` leaves it, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, fx, nn

from higherhrnet.model.fusion import ConvSumReLU
from higherhrnet.system import packages

Kernel = Callable[[Sequence[Tensor], Sequence[int], Tensor | None], Tensor]
"""As ``summed``."""


class Exchange(nn.Module):
    """ReLU of the sum of terms, each upsampled (nearest) by its factor, and of a bias a channel."""

    def __init__(self, factors: Sequence[int], bias: Tensor | None) -> None:
        """``factors``: by which each term is upsampled, in both axes; ``bias``: [C]."""
        super().__init__()
        self.factors = tuple(factors)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.kernel: Kernel = summed

    def forward(self, *terms: Tensor) -> Tensor:
        """Terms [n, C, H / factor, W / factor]; result [n, C, H, W]."""
        return self.kernel(terms, self.factors, self.bias)


def summed(terms: Sequence[Tensor], factors: Sequence[int], bias: Tensor | None) -> Tensor:
    """The same in PyTorch's own operations."""
    first, *rest = (
        term if factor == 1 else F.interpolate(term, scale_factor=factor, mode="nearest")
        for term, factor in zip(terms, factors, strict=True)
    )
    result = first.clone() if bias is None else first + bias[:, None, None]
    for term in rest:
        result += term
    return F.relu_(result)


def kernel() -> Kernel | None:
    """The kernel for CUDA; None where Triton, which comes with PyTorch's CUDA builds for Linux, is not installed."""
    if not packages.is_installed("triton"):
        return None
    from higherhrnet.model import exchange_kernel  # noqa: PLC0415

    return exchange_kernel.summed


def join(traced: fx.GraphModule) -> None:
    """Join what ``fusion.fuse`` left apart, in place: the exchanges' sums, and biases that a later layer can add."""
    for node in list(traced.graph.nodes):
        layer = _layer(traced, node)
        if isinstance(layer, nn.ReLU):
            _join_sum(traced, node)
        elif isinstance(layer, ConvSumReLU) and len(node.args) == 2:
            bias = _take_bias(traced, node.args[1])
            if bias is not None:
                assert layer.bias is not None
                layer.bias = nn.Parameter(layer.bias + bias, requires_grad=False)
    traced.graph.eliminate_dead_code()
    traced.recompile()


def _join_sum(traced: fx.GraphModule, relu: fx.Node) -> None:
    """Replace a ReLU and the sum before it, if there is one."""
    (before,) = relu.args
    assert isinstance(before, fx.Node)
    leaves = _leaves(before)
    if len(leaves) < 2:
        return
    factors, sources, biases = [], [], []
    for leaf in leaves:
        up = _layer(traced, leaf)
        is_up = isinstance(up, nn.Upsample) and up.mode == "nearest" and len(leaf.users) == 1
        source = leaf.args[0] if is_up else leaf
        assert isinstance(source, fx.Node)
        factors.append(int(up.scale_factor) if is_up else 1)  # type: ignore[union-attr,arg-type]
        sources.append(source)
        if (bias := _take_bias(traced, source)) is not None:
            biases.append(bias)
    name = f"exchange_{relu.name}"
    traced.add_module(name, Exchange(factors, sum(biases[1:], biases[0]) if biases else None))
    with traced.graph.inserting_before(relu):
        joined = traced.graph.call_module(name, tuple(sources))
    relu.replace_all_uses_with(joined)
    traced.graph.erase_node(relu)


def _leaves(node: fx.Node) -> list[fx.Node]:
    """The terms of nested sums that nothing else uses, in their order."""
    is_sum = node.op == "call_function" and node.name.startswith("add") and len(node.users) == 1
    if not is_sum:
        return [node]
    return [leaf for term in node.args if isinstance(term, fx.Node) for leaf in _leaves(term)]


def _take_bias(traced: fx.GraphModule, node: object) -> Tensor | None:
    """A convolution's bias, which it then adds no more; None of other layers, and of one that others use too."""
    assert isinstance(node, fx.Node)
    conv = _layer(traced, node)
    if not isinstance(conv, nn.Conv2d) or conv.bias is None or len(node.users) != 1:
        return None
    bias, conv.bias = conv.bias.detach(), None
    return bias


def _layer(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else None


def use_kernel(network: nn.Module, device: torch.device) -> str:
    """Have a network's exchanges use the kernel; return why they do not, '' where they do.

    It is compiled by a C compiler on the host, which may be missing, and compared with ``summed`` before it is used.
    """
    found = kernel()
    if found is None:
        return "Triton is not installed"
    generator = torch.Generator().manual_seed(0)
    terms = [
        torch.randn(2, 8, 16 // factor, 24 // factor, generator=generator).to(
            device=device, memory_format=torch.channels_last
        )
        for factor in (1, 2, 4)
    ]
    bias = torch.randn(8, generator=generator).to(device)
    try:
        ours, expected = found(terms, (1, 2, 4), bias), summed(terms, (1, 2, 4), bias)
        same = torch.allclose(ours, expected, rtol=1e-5, atol=1e-5)
    except Exception as e:  # whatever Triton, the compiler or the driver raise
        return f"Triton: {type(e).__name__}: {' '.join(str(e).split())[:160]}"
    if not same:
        return "Triton's kernel gives other sums than PyTorch"
    for layer in network.modules():
        if isinstance(layer, Exchange):
            layer.kernel = found
    return ""
