"""The tensors of a checkpoint, by Hugging Face's names for Llama and Mixtral."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor, nn

from block import Dense

if TYPE_CHECKING:
    from block import Block
    from expert import Expert
    from settings import Settings


def block_weights(
    prefix: str, block: Block, settings: Settings
) -> Iterator[tuple[str, Tensor, slice]]:
    """A block's tensors by Hugging Face's names for Llama and Mixtral."""
    yield f"{prefix}.input_layernorm.weight", block.attention_norm.weight, slice(None)
    head = settings.hidden // settings.heads
    ends = [0, settings.heads * head, (settings.heads + settings.groups) * head, None]
    for which, start, end in zip("qkv", ends, ends[1:]):
        yield f"{prefix}.self_attn.{which}_proj.weight", block.attention.qkv.weight, slice(
            start, end
        )
    yield f"{prefix}.self_attn.o_proj.weight", block.attention.output.weight, slice(None)
    yield f"{prefix}.post_attention_layernorm.weight", block.feed_forward_norm.weight, slice(None)
    layer = block.feed_forward
    if isinstance(layer, Dense):
        names = [f"{prefix}.mlp.{which}_proj.weight" for which in ("gate", "up", "down")]
        yield from expert_weights(names, layer.expert, settings.width)
        return
    if layer.router.linear is not None:
        yield f"{prefix}.block_sparse_moe.gate.weight", layer.router.linear.weight, slice(None)
    if settings.row.has_bias:
        name = f"{prefix}.block_sparse_moe.gate.e_score_correction_bias"
        yield name, layer.router.bias, slice(None)
    for index, expert in enumerate(layer.experts):
        stem = f"{prefix}.block_sparse_moe.experts.{index}"
        names = [f"{stem}.{which}.weight" for which in ("w1", "w3", "w2")]
        yield from expert_weights(names, expert, settings.width)


def expert_weights(
    names: list[str], expert: Expert, width: int
) -> Iterator[tuple[str, nn.Parameter, slice]]:
    """An expert's gate, up and down projections."""
    yield names[0], expert.gate_up.weight, slice(0, width)
    yield names[1], expert.gate_up.weight, slice(width, None)
    yield names[2], expert.down.weight, slice(None)
