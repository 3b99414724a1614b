"""The uniform numbers that remoe's routers draw in training: Philox 4x32-10, by seed and step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

ROUNDS = 10
WORD = 0xFFFFFFFF


def product(a: int, b: Tensor) -> tuple[Tensor, Tensor]:
    """High and low word of the product of two 32-bit words; int64 holds no more than 63 bits."""
    high = (a >> 16) * b + (((a & 0xFFFF) * b) >> 16)
    return high >> 16, (a * b) & WORD


def philox(block: Tensor, operation: int, step: int, seed: int) -> Tensor:
    """Four random words for each block, [blocks, 4]."""
    words = [block & WORD, block >> 32, torch.full_like(block, operation)]
    words.append(torch.full_like(block, step))
    key = [seed & WORD, (seed >> 32) & WORD]
    for _ in range(ROUNDS):
        high0, low0 = product(0xD2511F53, words[0])
        high1, low1 = product(0xCD9E8D57, words[2])
        words = [high1 ^ words[1] ^ key[0], low1, high0 ^ words[3] ^ key[1], low0]
        key = [(key[0] + 0x9E3779B9) & WORD, (key[1] + 0xBB67AE85) & WORD]
    return torch.stack(words, dim=1)


class Draws:
    """The tensors drawn in a step, one after the other over micro-batches and layers."""

    def __init__(self, seed: int) -> None:
        self.seed, self.step, self.count = seed, 1, 0

    def begin(self, taken: int) -> None:
        """Begins the step that follows `taken` others."""
        self.step, self.count = taken + 1, 0

    def uniform(self, *shape: int) -> Tensor:
        """The next tensor, in [0, 1)."""
        count = math.prod(shape)
        words = philox(torch.arange((count + 3) // 4), self.count, self.step, self.seed)
        self.count += 1
        numbers = (words.flatten()[:count] >> 8) * 2.0**-24
        return numbers.to(torch.get_default_dtype()).view(shape)
