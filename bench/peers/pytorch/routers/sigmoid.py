"""Sigmoid routing with biases (DeepSeek-V3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from routing import Routing, Row, largest, never, without_penalty

if TYPE_CHECKING:
    from router import Router


def route(router: Router, logits: Tensor, forced: Tensor | None) -> Routing:
    """The sigmoids of the k largest sigmoid + bias (DeepSeek-V3)."""
    settings = router.settings
    scores = logits.sigmoid()
    mask = largest(scores + router.bias, settings.active) if forced is None else forced
    gates = torch.where(mask, scores, 0)
    if settings.normalize:
        gates = gates / (gates.sum(-1, keepdim=True) + 1e-20)
    return Routing(gates * settings.gate_scale, mask, logits.new_zeros(()))


SIGMOID = Row(route, without_penalty, never, has_bias=True)
