"""A model's linear layers in, the same layers out, their weights laid out once as a processor's kernels read them.

PyTorch hands a weight over row by row, and oneDNN lays it out in blocks again for each multiplication. With few rows to
multiply, as when answers are written, that takes as long as the multiplying itself. It is what PyTorch's own compiler
does to frozen weights; here it is done without compiling, because prompts differ in length.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

_Layer = TypeVar("_Layer", bound=torch.nn.Module)
ROWS = 64
"""For how many rows the layout is chosen; on few and on many it serves as well."""


class BlockedLinear(torch.nn.Linear):
    """A linear layer that holds its weight in oneDNN's layout alone."""

    def __init__(self, plain: torch.nn.Linear) -> None:
        torch.nn.Module.__init__(self)
        self.in_features, self.out_features, self.bias = plain.in_features, plain.out_features, plain.bias
        weight = plain.weight.detach()
        self._blocked = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
        nothing = torch.zeros((), dtype=weight.dtype).expand(weight.shape)  # no memory, but shape and type
        self.weight = torch.nn.Parameter(nothing, requires_grad=False)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """The layer's output for `given`, (..., in_features)."""
        output: torch.Tensor = torch.ops.mkldnn._linear_pointwise(given, self._blocked, self.bias, "none", [], "")
        return output

    def plain(self) -> torch.nn.Linear:
        """The layer as PyTorch has it."""
        layer = torch.nn.Linear(self.in_features, self.out_features, bias=False)
        layer.weight = torch.nn.Parameter(self._blocked.to_dense(), requires_grad=False)
        layer.bias = self.bias
        return layer


def block(model: torch.nn.Module) -> None:
    """Replace a model's linear layers, where that is of use: on processor cores for which oneDNN has kernels."""
    weight = next(model.parameters())
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return
    if weight.dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported():
        _replace(model, torch.nn.Linear, BlockedLinear)


def unblock(model: torch.nn.Module) -> None:
    """Undo `block`, for whoever wants to change the weights."""
    _replace(model, BlockedLinear, BlockedLinear.plain)


def _replace(model: torch.nn.Module, kind: type[_Layer], made: Callable[[_Layer], torch.nn.Module]) -> None:
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is kind:
                setattr(module, name, made(child))
