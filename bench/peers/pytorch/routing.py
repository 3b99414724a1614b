"""What a router decides, and what is known of it beforehand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from router import Router
    from settings import Settings


@dataclass
class Routing:
    """Gates [tokens, experts], which of them are open, and the layer's share of the loss.

    `penalty` has no coefficient yet: equation 9 or 10 of the paper for one layer, times the
    tokens, or Switch's balance loss.
    """

    gates: Tensor
    mask: Tensor
    penalty: Tensor


@dataclass(frozen=True)
class Row:
    """The facts of a router, like its row in `lib/moe/router_rows`."""

    route: Callable[[Router, Tensor, Tensor | None], Routing] | None
    """Gates from logits, or from token ids; none where the model is dense."""
    coefficient: Callable[[Settings, float, int], float]
    """What the layers' penalties are multiplied by, from λ and the tokens of a micro-batch."""
    adapts: Callable[[Settings], bool]
    """Whether λ follows the sparsity."""
    merges: bool = False
    """Whether experts are averaged rather than chosen."""
    has_bias: bool = False
    """Whether biases follow the load."""
    has_weights: bool = True
    """Whether `route` gets logits; otherwise it gets token ids."""


def without_penalty(_settings: Settings, _lambda: float, _tokens: int) -> float:
    """The coefficient of a router that adds nothing to the loss."""
    return 0.0


def never(_settings: Settings) -> bool:
    """Whether λ follows the sparsity of a router that has no λ."""
    return False


def largest(values: Tensor, count: int) -> Tensor:
    """A mask of the `count` largest values of each row."""
    chosen = values.topk(count, dim=-1).indices
    return torch.zeros_like(values, dtype=torch.bool).scatter(1, chosen, True)
