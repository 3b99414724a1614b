"""Lory's layer: experts are averaged."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mixture import MoE
from routing import Routing


class Merged(MoE):
    """Lory: the experts' weights are averaged once per segment of a sequence.

    The mean of the segment before decides on the average. The first segment has its own mean, as a
    constant. Generation, which routes by the prompt, is not implemented.
    """

    def forward(
        self, x: Tensor, _tokens: Tensor, _forced: Tensor | None
    ) -> tuple[Tensor, Routing]:
        sequence = self.router.settings.sequence
        length = min(256, math.ceil(sequence / 4))
        gate_up = torch.stack([expert.gate_up.weight for expert in self.experts])
        down = torch.stack([expert.down.weight for expert in self.experts])
        parts, weights = [], []
        for states in x.split(sequence):
            segments = states.split(length)
            means = [segments[0].detach().mean(0), *(part.mean(0) for part in segments[:-1])]
            for segment, mean in zip(segments, means):
                routing = self.router(mean[None], None)
                (shares,) = routing.gates
                gate, up = F.linear(segment, average(shares, gate_up)).chunk(2, dim=-1)
                parts.append(F.linear(F.silu(gate) * up, average(shares, down)))
                weights.append(routing.gates.expand(len(segment), -1))
        gates = torch.cat(weights)
        mask = torch.ones_like(gates, dtype=torch.bool)
        return torch.cat(parts), Routing(gates, mask, gates.new_zeros(()))


def average(shares: Tensor, matrices: Tensor) -> Tensor:
    """The sum of [experts, rows, columns] over the experts, weighted by their shares."""
    return torch.einsum("e,eij->ij", shares, matrices)
