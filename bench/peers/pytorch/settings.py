"""What the model needs of a run's configuration."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from routers import ROUTERS

if TYPE_CHECKING:
    from routing import Row


@dataclass(frozen=True)
class Settings:
    """What the model needs of a run's `config.json`; granularity is already multiplied in."""

    layers: int
    hidden: int
    heads: int
    groups: int
    width: int
    vocabulary: int
    rope_base: float
    norm_epsilon: float
    router: str
    experts: int
    active: int
    balance: str
    balance_coefficient: float
    renormalize: bool
    gate_scale: float
    warmup_active: int
    warmup_steps: int
    normalize: bool
    bias_rate: float
    capacity: float
    group: str
    jitter: float
    sequence: int
    seed: int

    @property
    def row(self) -> Row:
        """What is known of the router."""
        return ROUTERS[self.router]

    @property
    def routed(self) -> bool:
        """Whether the router chooses experts."""
        return self.row.route is not None

    @staticmethod
    def read(path: Path) -> Settings:
        """Reads the `config.json` of a run."""
        config = json.loads(path.read_text())
        model, moe = config["model"], config["moe"]
        return Settings(
            layers=model["layers"],
            hidden=model["hidden"],
            heads=model["heads"],
            groups=model["groups"],
            width=model["ffn"] // moe["granularity"],
            vocabulary=model["vocabulary"],
            rope_base=model["rope_base"],
            norm_epsilon=model["norm_epsilon"],
            router=moe["router"],
            experts=moe["experts"] * moe["granularity"],
            active=moe["active"] * moe["granularity"],
            balance=moe["balance"],
            balance_coefficient=moe["balance_coefficient"],
            renormalize=moe["renormalize"],
            gate_scale=moe["gate_scale"],
            warmup_active=moe["warmup_active"] * moe["granularity"],
            warmup_steps=moe["warmup_steps"],
            normalize=moe["normalize"] == "auto" and moe["active"] * moe["granularity"] > 1,
            bias_rate=moe["bias_rate"],
            capacity=moe["capacity"],
            group=moe["group"],
            jitter=moe.get("jitter", 0.1),
            sequence=config["data"]["sequence"],
            seed=config["seed"],
        )
