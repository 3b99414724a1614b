"""One optimizer step as remoe takes it: accumulation, clipping, AdamW, the rule of λ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from model import LanguageModel

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Recipe:
    """The settings of training in a run's `config.json`."""

    lr: float
    betas: tuple[float, float]
    epsilon: float
    weight_decay: float
    clip: float
    alpha: float
    floor: float
    ceiling: float

    @staticmethod
    def read(path: Path) -> Recipe:
        """Reads the `config.json` of a run."""
        config = json.loads(path.read_text())
        optimizer, moe = config["optimizer"], config["moe"]
        return Recipe(
            lr=optimizer["lr"],
            betas=(optimizer["beta1"], optimizer["beta2"]),
            epsilon=optimizer["epsilon"],
            weight_decay=optimizer["weight_decay"],
            clip=optimizer["clip"],
            alpha=moe["alpha"],
            floor=moe["lambda_floor"],
            ceiling=moe["lambda_ceiling"],
        )


class Trainer:
    """A model in training."""

    def __init__(self, model: LanguageModel, recipe: Recipe, lambda_: float) -> None:
        self.model, self.recipe, self.lambda_, self.steps = model, recipe, lambda_, 0
        matrices = [p for p in model.parameters() if p.dim() > 1]
        scales = [p for p in model.parameters() if p.dim() == 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices}, {"params": scales, "weight_decay": 0.0}],
            lr=recipe.lr,
            betas=recipe.betas,
            eps=recipe.epsilon,
            weight_decay=recipe.weight_decay,
            fused=True,
        )

    def step(self, batches: Sequence[Batch], lr: float) -> float:
        """Takes a step over micro-batches; gives the loss without regularisation."""
        share = 1 / len(batches)
        loss_of_step, active, pairs = 0.0, 0, 0
        counts: list[Tensor] = []
        self.model.at_step(self.steps)
        for tokens, targets in batches:
            loss, routings = self.model.loss(tokens, targets)
            self.model.total(loss, routings, self.lambda_, share).backward()
            loss_of_step += share * loss.item()
            active += sum(int(routing.mask.sum()) for routing in routings)
            pairs += sum(routing.mask.numel() for routing in routings)
            here = [routing.mask.sum(0) for routing in routings]
            counts = [a + b for a, b in zip(counts, here)] if counts else here
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        if self.recipe.clip > 0:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.adapt(active, pairs)
        self.model.after_step(counts)
        self.steps += 1
        return loss_of_step

    def adapt(self, active: int, pairs: int) -> None:
        """Moves λ by equation 7; integers decide, and equality lets it fall."""
        settings, recipe = self.model.settings, self.recipe
        if not settings.row.adapts(settings):
            return
        too_dense = active * settings.experts > pairs * settings.active
        moved = self.lambda_ * recipe.alpha if too_dense else self.lambda_ / recipe.alpha
        self.lambda_ = min(max(moved, recipe.floor), recipe.ceiling)
