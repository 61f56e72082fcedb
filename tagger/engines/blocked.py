"""A model's linear layers in, the same layers out, their weights laid out once as a processor's kernels read them.

PyTorch hands a weight over row by row, and oneDNN lays it out in blocks again for each multiplication. With few rows to
multiply, as when answers are written, that takes as long as the multiplying itself. It is what PyTorch's own compiler
does to frozen weights; here it is done without compiling, because prompts differ in length. An output layer that shares
its weight with the embedding gets a copy of its own (bfloat16, 0.5B: 272 MB).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

_Layer = TypeVar("_Layer", bound=torch.nn.Module)
ROWS = 64
"""For how many rows the layout is chosen; on few and on many it serves as well."""


class BlockedLinear(torch.nn.Linear):
    """A linear layer that holds its weight in oneDNN's layout. What stands as `weight` has its shape and type, and is
    no number anywhere: whoever computes with it gets none."""

    def __init__(self, plain: torch.nn.Linear) -> None:
        torch.nn.Module.__init__(self)
        self.in_features, self.out_features, self.bias = plain.in_features, plain.out_features, plain.bias
        weight = plain.weight.detach()
        self._blocked = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
        nothing = torch.full((), torch.nan, dtype=weight.dtype).expand(weight.shape)  # takes no memory
        self.weight = torch.nn.Parameter(nothing, requires_grad=False)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """The layer's output for `given`, (..., in_features)."""
        output: torch.Tensor = torch.ops.mkldnn._linear_pointwise(given, self._blocked, self.bias, "none", [], "")
        return output

    def plain(self) -> torch.nn.Linear:
        """The layer as PyTorch has it."""
        layer = torch.nn.Linear(self.in_features, self.out_features, bias=False, device="meta")
        layer.weight = torch.nn.Parameter(self._blocked.to_dense(), requires_grad=False)
        layer.bias = self.bias
        return layer


def block(model: torch.nn.Module) -> None:
    """Replace a model's linear layers, where that is of use: on processor cores for whose number format oneDNN has
    kernels."""
    device, dtype = next((weight.device.type, weight.dtype) for weight in model.parameters())
    fits = dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if device == "cpu" and torch.backends.mkldnn.is_available() and fits:
        _replace(model, torch.nn.Linear, BlockedLinear)


def unblock(model: torch.nn.Module) -> None:
    """Undo `block`, for whoever wants the weights themselves."""
    _replace(model, BlockedLinear, BlockedLinear.plain)


def _replace(model: torch.nn.Module, kind: type[_Layer], made: Callable[[_Layer], torch.nn.Module]) -> None:
    """Replace layers one by one: no more than one is there twice."""
    for module in [module for module in model.modules() if type(module) is not kind]:
        for name in [name for name, child in module.named_children() if type(child) is kind]:
            layer: _Layer = getattr(module, name)
            setattr(module, name, made(layer))
            del layer
