"""PyTorch's steps of the same model: bench/peers' with experts stacked for the grouped product.

peer_step.py CONFIG STEPS [--bf16]: weights in fp32 with autocast to bf16, or all in bf16. One line
of JSON a step.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "peer"))

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

import block  # noqa: E402
from router import Router  # noqa: E402
from settings import Settings  # noqa: E402
from training import Recipe, Trainer  # noqa: E402


class Grouped(nn.Module):
    """A router and stacked experts, whose products are one grouped product each."""

    def __init__(self, settings):
        super().__init__()
        self.router = Router(settings)
        experts, hidden, width = settings.experts, settings.hidden, settings.width
        self.gate_up = nn.Parameter(torch.empty(experts, hidden, 2 * width))
        self.down = nn.Parameter(torch.empty(experts, width, hidden))

    def forward(self, x, tokens, forced):
        """Sorts the open pairs by expert, and adds up the experts' results."""
        routing = self.router(x, tokens, forced)
        mask = routing.mask.t()
        _, token = mask.nonzero(as_tuple=True)
        ends = mask.sum(1).cumsum(0).to(torch.int32)
        rows = x.index_select(0, token).bfloat16()
        h = torch._grouped_mm(rows, self.gate_up.bfloat16(), offs=ends)
        gate, up = h.chunk(2, dim=-1)
        y = torch._grouped_mm(F.silu(gate) * up, self.down.bfloat16(), offs=ends)
        weighted = y * routing.gates.t().masked_select(mask)[:, None].to(y.dtype)
        result = torch.zeros(x.shape, dtype=y.dtype, device=x.device)
        return result.index_add_(0, token, weighted), routing


def main():
    """Takes the steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("steps", type=int)
    parser.add_argument("--bf16", action="store_true")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_default_device(device)
    torch.manual_seed(1)
    block.MoE = Grouped
    settings = Settings.read(options.config)
    config = json.loads(options.config.read_text())
    data, deviation = config["data"], config["model"]["init_std"]
    if options.bf16:
        torch.set_default_dtype(torch.bfloat16)
    from model import LanguageModel

    model = LanguageModel(settings)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, deviation)
    if not options.bf16:
        model.loss = torch.autocast(device, torch.bfloat16)(model.loss)
    trainer = Trainer(model, Recipe.read(options.config), 1e-8)
    shape = (data["batch"], data["sequence"])
    for step in range(1, options.steps + 1):
        tokens = torch.randint(0, 256, (shape[0], shape[1] + 1))
        batch = [(tokens[:, :-1], tokens[:, 1:])]
        start = time.perf_counter()
        loss = trainer.step(batch, 5e-4)
        if device == "cuda":
            torch.cuda.synchronize()
        print(json.dumps({"step": step, "ms": (time.perf_counter() - start) * 1e3, "loss": loss}),
              flush=True)
    if device == "cuda":
        print(json.dumps({"peak": torch.cuda.max_memory_allocated()}))


if __name__ == "__main__":
    main()
