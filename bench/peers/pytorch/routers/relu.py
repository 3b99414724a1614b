"""ReLU routing (ReMoE)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from routing import Routing, Row

if TYPE_CHECKING:
    from router import Router
    from settings import Settings


def route(router: Router, logits: Tensor, forced: Tensor | None) -> Routing:
    """Equation 5, and the L1 term of equation 9 or 10."""
    mask = logits > 0 if forced is None else forced
    gates = F.relu(logits) if forced is None else torch.where(forced, logits, 0)
    weights = shares(router, mask)
    return Routing(gates, mask, (weights * gates.sum(0)).sum())


def shares(router: Router, mask: Tensor) -> Tensor:
    """f_e of equation 11; a constant for autograd, being a count."""
    settings = router.settings
    if settings.balance == "load":
        return mask.sum(0) * (settings.experts / (settings.active * mask.shape[0]))
    return torch.full((settings.experts,), 1.0 if settings.balance == "plain" else 0.0)


def coefficient(settings: Settings, lambda_: float, tokens: int) -> float:
    """λ/(L·T), by which equation 9 multiplies the layers' penalties."""
    return lambda_ / (settings.layers * tokens)


RELU = Row(route, coefficient, lambda settings: settings.balance != "none")
