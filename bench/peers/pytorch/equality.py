"""Compares remoe with PyTorch on what `capture.ts` wrote; prints JSON for `equality.ts`.

At each captured point of a run PyTorch gets the same weights, tokens and λ, three times: routed by
itself, with remoe's routing mask, and with that mask in float64, which says how far either side is
from the exact value. Then it trains on its own from the first point, on the same batches, in
float32 and in float64.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import checkpoint
from model import LanguageModel
from settings import Settings
from training import Batch, Recipe, Trainer

Gradients = dict[str, Tensor]


def micro_batches(file: dict[str, Tensor], step: int, sequence: int) -> list[Batch]:
    """The micro-batches of a step, each [rows, sequence]."""
    pairs = zip(file["tokens"][step], file["targets"][step])
    return [(t.view(-1, sequence).long(), y.view(-1, sequence).long()) for t, y in pairs]


class Point:
    """A captured moment of a run: weights, gradients, gates, and the figures of its step."""

    def __init__(self, folder: Path, meta: dict[str, Any], batches: list[Batch]) -> None:
        path = folder / meta["folder"]
        self.meta, self.batches = meta, batches
        self.weights = path / "model.safetensors"
        self.gradients = checkpoint.tensors(path / "gradients.safetensors")
        gates = checkpoint.tensors(path / "gates.safetensors")
        # One list a micro-batch, with a mask [tokens, experts] for each layer.
        self.masks = [
            [gates[f"{index}.{layer}"] != 0 for layer in range(meta["layers"])]
            for index in range(len(batches))
        ]

    def run(self, settings: Settings, forced: bool) -> tuple[float, Gradients, list[list[Tensor]]]:
        """Loss, gradients and masks of PyTorch, in the default dtype."""
        model = LanguageModel(settings)
        checkpoint.load(model, self.weights)
        model.at_step(self.meta["step"])
        share, loss_of_step, masks = 1 / len(self.batches), 0.0, []
        for (tokens, targets), given in zip(self.batches, self.masks):
            loss, routings = model.loss(tokens, targets, given if forced else None)
            model.total(loss, routings, self.meta["lambda"], share).backward()
            loss_of_step += share * loss.item()
            masks.append([routing.mask for routing in routings])
        return loss_of_step, checkpoint.gradients(model), masks


def distance(ours: Gradients, theirs: Gradients) -> tuple[float, str]:
    """The greatest norm of a difference over the norm, and whose gradient it is."""
    worst, where = 0.0, ""
    for name, reference in theirs.items():
        reference = reference.double()
        norm, difference = reference.norm().item(), (ours[name].double() - reference).norm().item()
        relative = difference / norm if norm > 0 else (float("inf") if difference > 0 else 0.0)
        if relative >= worst:
            worst, where = relative, name
    return worst, where


def flips(own: list[list[Tensor]], given: list[list[Tensor]]) -> tuple[int, int]:
    """Pairs, and tokens of any layer, whose routing differs."""
    different = [a != b for x, y in zip(own, given) for a, b in zip(x, y)]
    return (
        sum(int(mask.sum()) for mask in different),
        sum(int(mask.any(1).sum()) for mask in different),
    )


def compare(point: Point, settings: Settings) -> dict[str, Any]:
    """All figures of one point."""
    routed = settings.routed
    loss, free, masks = point.run(settings, forced=False)
    forced_loss, forced, _ = point.run(settings, forced=routed)
    torch.set_default_dtype(torch.float64)
    exact_loss, exact, _ = point.run(settings, forced=routed)
    torch.set_default_dtype(torch.float32)
    flipped_pairs, flipped_tokens = flips(masks, point.masks) if routed else (0, 0)
    given = [mask for layers in point.masks for mask in layers]
    pairs = sum(mask.numel() for mask in given)
    worst, where = distance(point.gradients, forced)
    return {
        "step": point.meta["step"],
        "loss": point.meta["loss"],
        "sparsity": 1 - sum(int(mask.sum()) for mask in given) / pairs,
        "loss_difference": point.meta["loss"] - loss,
        "forced_loss_difference": point.meta["loss"] - forced_loss,
        "exact_loss_difference": point.meta["loss"] - exact_loss,
        "pairs": pairs,
        "flipped_pairs": flipped_pairs,
        "flipped_tokens": flipped_tokens,
        "free_gradient": distance(point.gradients, free)[0],
        "gradient": worst,
        "worst_parameter": where,
        "gradient_to_exact": distance(point.gradients, exact)[0],
        "pytorch_gradient_to_exact": distance(forced, exact)[0],
    }


def free_run(folder: Path, run: dict[str, Any], settings: Settings) -> list[dict[str, float]]:
    """Losses and λ of a run of PyTorch's own in the default dtype, from the first point on."""
    config = folder / "config.json"
    model = LanguageModel(settings)
    checkpoint.load(model, folder / run["points"][0]["folder"] / "model.safetensors")
    trainer = Trainer(model, Recipe.read(config), run["steps"][0]["lambda"])
    file = checkpoint.tensors(folder / "batches.safetensors")
    figures = []
    for step, ours in enumerate(run["steps"]):
        lambda_ = trainer.lambda_
        loss = trainer.step(micro_batches(file, step, settings.sequence), ours["lr"])
        figures.append({"loss": loss, "lambda": lambda_})
    return figures


def main() -> None:
    """Prints `{points, steps, exact_steps}`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    folder: Path = arguments.folder
    settings = Settings.read(folder / "config.json")
    run = json.loads((folder / "run.json").read_text())
    file = checkpoint.tensors(folder / "batches.safetensors")
    points = [
        compare(
            Point(folder, meta, micro_batches(file, meta["step"], settings.sequence)), settings
        )
        for meta in run["points"]
    ]
    steps = free_run(folder, run, settings)
    torch.set_default_dtype(torch.float64)
    exact_steps = free_run(folder, run, settings)
    print(json.dumps({"points": points, "steps": steps, "exact_steps": exact_steps}))


if __name__ == "__main__":
    main()
