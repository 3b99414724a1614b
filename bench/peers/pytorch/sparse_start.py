"""Writes random weights whose ReLU routers open the wanted share of gates, as trained ones do.

Training a model of the paper's size to that stage takes days on a CPU, and speed depends on the
weights by the routing alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

import checkpoint
from mixture import MoE
from model import LanguageModel
from settings import Settings

# What all tokens share, against what tells them apart: a router without bias can hold its gates
# closed only along such a direction.
COMMON = 3.0


def close_gates(module: MoE, x: Tensor, share: float) -> None:
    """Shifts a router's columns so that each expert has the share of the tokens `x`."""
    weight = module.router.linear.weight
    common = x.mean(0) / x.mean(0).square().sum()
    for _ in range(3):
        # Shifting scales with each token's part of the common direction: a few rounds settle it.
        threshold = (x @ weight.t()).quantile(1 - share, dim=0)
        weight -= threshold[:, None] * common


def main() -> None:
    """Writes `model.safetensors` into the scenario's folder; prints the share of open gates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    scenario: Path = arguments.scenario
    settings = Settings.read(scenario / "config.json")
    model = LanguageModel(settings)
    model.initialize(seed=0)
    share = settings.active / settings.experts
    tokens = checkpoint.tensors(scenario / "batches.safetensors")["tokens"][0, 0]
    with torch.no_grad():
        model.embedding.weight += COMMON * settings.deviation
        for block in model.blocks:
            block.feed_forward.register_forward_pre_hook(
                lambda module, inputs: close_gates(module, inputs[0], share)
            )
        _, routings = model.states(tokens.view(-1, settings.sequence).long())
    checkpoint.save(model, scenario / "model.safetensors")
    print(torch.stack([routing.mask.double().mean() for routing in routings]).mean().item())


if __name__ == "__main__":
    main()
