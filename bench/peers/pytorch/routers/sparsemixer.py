"""SparseMixer-v2 (GRIN)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from routers.switch import switch_coefficient, switch_loss
from routing import Routing, Row, never

if TYPE_CHECKING:
    from router import Router


def route(router: Router, logits: Tensor, forced: Tensor | None) -> Routing:
    """SparseMixer-v2 in training: drawn experts, and p without Heun's factor in backward."""
    settings = router.settings
    tokens, experts = logits.shape
    noise = router.draws.uniform(tokens, settings.active, experts + 1)
    gates, mask = torch.zeros_like(logits), torch.zeros_like(logits, dtype=torch.bool)
    for choice in range(settings.active):
        left = logits.detach().masked_fill(mask, -math.inf)
        largest, best = left.max(-1, keepdim=True)
        width = 2 * settings.jitter * torch.maximum(left.abs(), largest)
        kept = ~mask & ((largest - left <= width) | (left == largest))
        p = logits.masked_fill(~kept, -math.inf).softmax(-1)
        own = left - (-noise[:, choice, :experts].log()).log()
        if forced is not None:
            # What the mask kept first: an expert of the next choice may lie outside of it.
            both, rest = forced & kept, forced & ~mask
            kept = torch.where(both.any(-1, keepdim=True), both, rest)
        drawn = own.masked_fill(~kept, -math.inf).argmax(-1, keepdim=True)
        whole = (drawn == best) | (noise[:, choice, experts:] > 0.75)
        gate = p.gather(-1, drawn)
        value = gate * torch.where(whole, 1.0, 1 / 3)
        gates = gates.scatter(-1, drawn, gate + (value - gate).detach())
        mask = mask.scatter(-1, drawn, True)
    return Routing(gates, mask, switch_loss(router, mask, logits.softmax(-1)))


SPARSEMIXER = Row(route, switch_coefficient, never)
