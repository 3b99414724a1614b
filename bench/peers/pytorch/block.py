"""A transformer block, with experts or without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from attention import Attention
from expert import Expert
from merged import Merged
from mixture import MoE

if TYPE_CHECKING:
    from cache import LayerCache
    from routing import Routing
    from settings import Settings


class Dense(nn.Module):
    """The plain feed-forward network of a dense model, in the place of an MoE layer."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.expert = Expert(settings)

    def forward(
        self, x: Tensor, _tokens: Tensor, _forced: Tensor | None
    ) -> tuple[Tensor, None]:
        return self.expert(x), None


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        epsilon = settings.norm_epsilon
        self.attention_norm = nn.RMSNorm(settings.hidden, eps=epsilon)
        self.attention = Attention(settings)
        self.feed_forward_norm = nn.RMSNorm(settings.hidden, eps=epsilon)
        layer = Merged if settings.row.merges else MoE if settings.routed else Dense
        self.feed_forward = layer(settings)

    def attend(
        self, x: Tensor, cosine: Tensor, sine: Tensor, cache: LayerCache | None
    ) -> tuple[Tensor, Tensor]:
        """The attention half; gives the residual stream and the input of the second half."""
        x = x + self.attention(self.attention_norm(x), cosine, sine, cache)
        return x, self.feed_forward_norm(x).flatten(0, 1)

    def forward(
        self,
        x: Tensor,
        tokens: Tensor,
        cosine: Tensor,
        sine: Tensor,
        forced: Tensor | None,
        cache: LayerCache | None,
    ) -> tuple[Tensor, Routing | None]:
        x, normed = self.attend(x, cosine, sine, cache)
        y, routing = self.feed_forward(normed, tokens.flatten(), forced)
        return x + y.view_as(x), routing
