"""Causal grouped-query attention with rotary positions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from cache import LayerCache
    from settings import Settings


def rotary_angles(settings: Settings, capacity: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of each position's angles; in float64, as large positions need."""
    half = settings.hidden // settings.heads // 2
    exponents = torch.arange(half, dtype=torch.float64) / half
    angles = torch.outer(torch.arange(capacity).double(), settings.rope_base**-exponents)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turns the pairs (i, i + half) of each head of `x` [batch, sequence, heads, head]."""
    first, second = x.chunk(2, dim=-1)
    cosine, sine = cosine[:, None], sine[:, None]
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


class Attention(nn.Module):
    """Causal grouped-query attention; queries, keys and values are one product."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.heads, self.groups = settings.heads, settings.groups
        self.head = settings.hidden // settings.heads
        columns = (self.heads + 2 * self.groups) * self.head
        self.qkv = nn.Linear(settings.hidden, columns, bias=False)
        self.output = nn.Linear(settings.hidden, settings.hidden, bias=False)

    def forward(
        self, x: Tensor, cosine: Tensor, sine: Tensor, cache: LayerCache | None
    ) -> Tensor:
        batch, sequence, hidden = x.shape
        sizes = (self.heads, self.groups, self.groups)
        qkv = self.qkv(x).view(batch, sequence, -1, self.head)
        query, key, value = qkv.split(sizes, dim=2)
        query = rotate(query, cosine, sine).transpose(1, 2)
        key = rotate(key, cosine, sine).transpose(1, 2)
        value = value.transpose(1, 2)
        if cache is not None:
            key, value = cache.extend(key, value)
        attended = F.scaled_dot_product_attention(
            query, key, value, is_causal=sequence > 1, enable_gqa=self.heads != self.groups
        )
        return self.output(attended.transpose(1, 2).reshape(batch, sequence, hidden))
