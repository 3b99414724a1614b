"""PyTorch's side of the comparison of speed: takes orders line by line, answers with times.

`speed.ts` starts it once for each way of running, says `{"times": n}` on standard input, and reads
`{"ms": [...], "values": [...]}` from standard output: milliseconds, and losses or the text's tokens.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import torch

import checkpoint
from model import LanguageModel
from settings import Settings
from training import Batch, Recipe, Trainer


def read_batches(path: Path, sequence: int) -> Iterator[list[Batch]]:
    """The steps' micro-batches, again from the first after the last."""
    file = checkpoint.tensors(path)
    steps = [
        [
            (tokens.view(-1, sequence).long(), targets.view(-1, sequence).long())
            for tokens, targets in zip(*step)
        ]
        for step in zip(file["tokens"], file["targets"])
    ]
    return cycle(steps)


def training(model: LanguageModel, scenario: Path) -> Callable[[], Any]:
    """A whole optimizer step."""
    config = scenario / "config.json"
    recipe = Recipe.read(config)
    state = json.loads((scenario / "scenario.json").read_text())
    trainer = Trainer(model, recipe, state["lambda"])
    batches = read_batches(scenario / "batches.safetensors", model.settings.sequence)
    return lambda: trainer.step(next(batches), recipe.lr)


def forward(model: LanguageModel, scenario: Path) -> Callable[[], Any]:
    """The losses of a step's micro-batches, without gradients."""
    batches = read_batches(scenario / "batches.safetensors", model.settings.sequence)

    @torch.no_grad()
    def run() -> float:
        losses = [model.loss(tokens, targets)[0].item() for tokens, targets in next(batches)]
        return sum(losses) / len(losses)

    return run


def generation(model: LanguageModel, scenario: Path) -> Callable[[], Any]:
    """A text of the likeliest tokens."""
    state = json.loads((scenario / "scenario.json").read_text())
    return lambda: model.generate(state["prompt"], state["drawn"])


MODES = {"train": training, "forward": forward, "generate": generation}


def main() -> None:
    """Answers orders until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", type=Path)
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--autocast", action="store_true", help="matrix products in bf16")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    scenario: Path = arguments.scenario
    settings = Settings.read(scenario / "config.json")
    state = json.loads((scenario / "scenario.json").read_text())
    capacity = max(settings.sequence, len(state["prompt"]) + state["drawn"])
    model = LanguageModel(settings, capacity)
    checkpoint.load(model, scenario / "model.safetensors")
    if arguments.compile:
        model.compile_parts()
    if arguments.autocast:
        autocast = torch.autocast("cpu", torch.bfloat16)
        model.loss, model.generate = autocast(model.loss), autocast(model.generate)
    run = MODES[arguments.mode](model, scenario)
    for line in sys.stdin:
        milliseconds, values = [], []
        for _ in range(json.loads(line)["times"]):
            started = time.perf_counter()
            values.append(run())
            milliseconds.append((time.perf_counter() - started) * 1e3)
        print(json.dumps({"ms": milliseconds, "values": values}), flush=True)


if __name__ == "__main__":
    main()
