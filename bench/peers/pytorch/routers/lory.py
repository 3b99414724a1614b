"""Lory: experts are merged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from routing import Routing, Row, never, without_penalty

if TYPE_CHECKING:
    from router import Router


def route(_router: Router, logits: Tensor, _forced: Tensor | None) -> Routing:
    """Weights of all experts, from the logits of segments rather than tokens."""
    weights = logits.softmax(-1)
    return Routing(weights, torch.ones_like(weights, dtype=torch.bool), weights.new_zeros(()))


LORY = Row(route, without_penalty, never, merges=True)
