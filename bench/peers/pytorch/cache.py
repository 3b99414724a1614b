"""Keys and values of earlier tokens, for generation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from settings import Settings


class Cache:
    """Keys and values of the tokens before, for generation."""

    def __init__(self, settings: Settings, batch: int, capacity: int) -> None:
        head = settings.hidden // settings.heads
        shape = (settings.layers, 2, batch, settings.groups, capacity, head)
        self.memory = torch.zeros(shape)
        self.length = 0

    def of(self, layer: int) -> LayerCache:
        """The part of one layer."""
        return LayerCache(self.memory[layer], self.length)


@dataclass
class LayerCache:
    """Keys and values of one layer, [2, batch, groups, capacity, head]."""

    memory: Tensor
    length: int

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Adds the keys and values of new tokens; gives those of all tokens."""
        end = self.length + key.shape[2]
        self.memory[0, :, :, self.length : end] = key
        self.memory[1, :, :, self.length : end] = value
        return self.memory[0, :, :, :end], self.memory[1, :, :, :end]
