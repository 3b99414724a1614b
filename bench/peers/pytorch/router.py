"""A layer's router: the weights, and what its kind makes of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from draws import Draws

if TYPE_CHECKING:
    from routing import Routing
    from settings import Settings


class Router(nn.Module):
    """Any router. A `forced` mask replaces its own choice of experts."""

    bias: Tensor
    linear: nn.Linear | None

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.draws = Draws(settings.seed)
        has_weights = settings.row.has_weights
        shape = (settings.hidden, settings.experts)
        self.linear = nn.Linear(*shape, bias=False) if has_weights else None
        self.register_buffer("bias", torch.zeros(settings.experts))
        self.step = math.inf

    @property
    def active(self) -> int:
        """Experts per token in the current step."""
        settings = self.settings
        is_warm = settings.warmup_active == 0 or self.step >= settings.warmup_steps
        return settings.active if is_warm else settings.warmup_active

    def forward(
        self, x: Tensor, tokens: Tensor | None, forced: Tensor | None = None
    ) -> Routing:
        """Routes the states `x` [tokens, hidden] of the token ids `tokens` [tokens]."""
        if self.linear is None:
            return self.settings.row.route(self, tokens, forced)
        return self.settings.row.route(self, self.linear(x), forced)

    def move_bias(self, counts: Tensor) -> None:
        """Lowers the bias of experts with more tokens than the mean, and raises the others'."""
        self.bias += self.settings.bias_rate * (counts.double().mean() - counts).sign()
