"""Switch's balance loss, which TopK and SparseMixer share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from router import Router
    from settings import Settings


def switch_loss(router: Router, mask: Tensor, probabilities: Tensor) -> Tensor:
    """Switch's balance loss; the counts are constants for autograd."""
    scale = router.settings.experts / (router.active * mask.shape[0] ** 2)
    return (mask.sum(0) * probabilities.sum(0)).sum() * scale


def switch_coefficient(settings: Settings, _lambda: float, _tokens: int) -> float:
    """Its coefficient."""
    return settings.balance_coefficient
