"""TopK of the softmax, with Switch's balance loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from routers.switch import switch_coefficient, switch_loss
from routing import Routing, Row, largest, never

if TYPE_CHECKING:
    from router import Router


def route(router: Router, logits: Tensor, forced: Tensor | None) -> Routing:
    """The k largest of the softmax over all experts, and Switch's balance loss."""
    settings = router.settings
    probabilities = logits.softmax(-1)
    mask = largest(probabilities, router.active) if forced is None else forced
    gates = torch.where(mask, probabilities, 0)
    if settings.renormalize:
        gates = gates / gates.sum(-1, keepdim=True)
    return Routing(gates * settings.gate_scale, mask, switch_loss(router, mask, probabilities))


TOPK = Row(route, switch_coefficient, never)
