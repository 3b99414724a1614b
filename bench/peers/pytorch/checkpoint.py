"""Reading remoe's safetensors files."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from model import LanguageModel


def load(model: LanguageModel, path: Path) -> None:
    """Fills a model; a tensor too many or too few in the file is an error."""
    with safe_open(path, framework="pt") as file, torch.no_grad():
        missing = set(file.keys())
        for name, parameter, rows in model.weights():
            parameter[rows].copy_(file.get_tensor(name))
            missing.remove(name)
    if missing:
        raise ValueError(f"Cannot load {path}: the model has no {sorted(missing)[0]}")


def gradients(model: LanguageModel) -> dict[str, Tensor]:
    """The gradients by the names of a checkpoint; zeros where none arrived."""
    return {
        name: (torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)[rows]
        for name, parameter, rows in model.weights()
        if parameter.requires_grad
    }


def tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}
