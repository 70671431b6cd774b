"""The network's graph with convolution, sum and ReLU in one call, as GPUs compute them at best.

BatchNorm is folded first, see network.fold_batch_norm. What is left apart is the transposed convolution, the sums of
the exchanges, and upsampling.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, fx, nn

from higherhrnet.model.network import HigherHRNet, fold_batch_norm

_NO_KERNEL = "unable to find an engine", "cudnn"
"""As PyTorch says it, after all that cuDNN offers was refused, or where it offers nothing."""


class ConvSumReLU(nn.Module):
    """ReLU of a convolution's output, or of its sum with ``z`` of the same shape."""

    def __init__(self, conv: nn.Conv2d) -> None:
        """Take over the weights of ``conv``, which has a bias."""
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        assert not isinstance(conv.padding, str)
        self.stride, self.padding, self.dilation, self.groups = conv.stride, conv.padding, conv.dilation, conv.groups
        self.fused = True
        """Whether one call of cuDNN does it on a GPU; False once it had no kernel for that."""

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        if x.is_cuda and self.fused:
            try:
                return self._in_one_call(x, z)
            except RuntimeError as e:
                if not is_no_kernel(e) or torch.cuda.is_current_stream_capturing():
                    raise
                self.fused = False
        y = F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        return F.relu_(y if z is None else y.add_(z))

    def _in_one_call(self, x: Tensor, z: Tensor | None) -> Tensor:
        weight, bias, stride, padding = self.weight, self.bias, self.stride, self.padding
        # Without z, PyTorch gives cuDNN memory that nobody wrote, to be scaled by 0; a test on a GPU fills it with NaN.
        if z is None:
            return torch.cudnn_convolution_relu(x, weight, bias, stride, padding, self.dilation, self.groups)
        return torch.cudnn_convolution_add_relu(x, weight, z, 1.0, bias, stride, padding, self.dilation, self.groups)


def is_no_kernel(error: RuntimeError) -> bool:
    """Whether cuDNN has no kernel for a layer, or none that the card's free memory is enough for."""
    return any(words in str(error).lower() for words in _NO_KERNEL)


def fuse(network: HigherHRNet) -> fx.GraphModule:
    """A copy for inference that computes the same, but for rounding; ``network`` stays as it is."""
    traced = fx.symbolic_trace(fold_batch_norm(network))
    for node in list(traced.graph.nodes):
        if isinstance(_module(traced, node), nn.Identity):
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)
    for node in list(traced.graph.nodes):
        if isinstance(_module(traced, node), nn.ReLU):
            _fuse_into(traced, node)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced


def _fuse_into(traced: fx.GraphModule, relu: fx.Node) -> None:
    """Replace a ReLU and the convolution before it, where it follows one, alone or in a sum of two."""
    before = relu.args[0]
    assert isinstance(before, fx.Node)
    is_sum = before.op == "call_function" and before.name.startswith("add") and len(before.users) == 1
    terms = [t for t in before.args if isinstance(t, fx.Node)] if is_sum else [before]
    for term in terms:
        conv = _module(traced, term)
        if isinstance(conv, nn.Conv2d) and len(term.users) == 1:
            others = [t for t in terms if t is not term]
            parent, _, name = str(term.target).rpartition(".")
            setattr(traced.get_submodule(parent), name, ConvSumReLU(conv))
            with traced.graph.inserting_before(relu):
                fused = traced.graph.call_module(str(term.target), (term.args[0], *others))
            relu.replace_all_uses_with(fused)
            for node in (relu, *([before] if is_sum else ()), term):
                traced.graph.erase_node(node)
            return


def _module(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """The layer a node calls, None for other nodes."""
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else None
