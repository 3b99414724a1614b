"""An expert."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from settings import Settings


class Expert(nn.Module):
    """A SwiGLU feed-forward network; the gate's and the up projection are one product.

    Each expert has parameters of its own: slices of one stacked parameter would each get a
    gradient of the whole stack's size.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.gate_up = nn.Linear(settings.hidden, 2 * settings.width, bias=False)
        self.down = nn.Linear(settings.width, settings.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)
