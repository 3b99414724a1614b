"""A layer of a router and the experts that it chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from expert import Expert
from router import Router

if TYPE_CHECKING:
    from routing import Routing
    from settings import Settings


class MoE(nn.Module):
    """A router and its experts; every token goes to the experts whose gates are open."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.router = Router(settings)
        self.experts = nn.ModuleList(Expert(settings) for _ in range(settings.experts))

    def forward(
        self, x: Tensor, tokens: Tensor, forced: Tensor | None
    ) -> tuple[Tensor, Routing]:
        routing = self.router(x, tokens, forced)
        return self.dispatch(x, routing), routing

    def dispatch(self, x: Tensor, routing: Routing) -> Tensor:
        """Sorts the open pairs by expert, runs each expert on its rows, and adds them up."""
        mask = routing.mask.t()
        _, tokens = mask.nonzero(as_tuple=True)
        rows = x.index_select(0, tokens).split(mask.sum(1).tolist())
        # In training an expert without rows gets a gradient of zeros, so that its moments decay.
        parts = [
            expert(part)
            for expert, part in zip(self.experts, rows)
            if len(part) > 0 or torch.is_grad_enabled()
        ]
        if not parts:
            return torch.zeros_like(x)
        results = torch.cat(parts)
        gates = routing.gates.t().masked_select(mask)
        weighted = (results * gates[:, None]).to(x.dtype)
        return torch.zeros_like(x).index_add_(0, tokens, weighted)
