"""The model of remoe in PyTorch: LLaMA blocks with Mixture-of-Experts layers.

Written from the equations of the ReMoE paper, not from the kernels, so that agreement of the two
means something: gradients are PyTorch's own, and the regularisation is part of the loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attention import rotary_angles
from block import Block, Dense
from cache import Cache
from draws import Draws
from weights import block_weights

if TYPE_CHECKING:
    from routing import Routing
    from settings import Settings


class LanguageModel(nn.Module):
    """Embedding, blocks, norm, and an output head that is not tied to the embedding."""

    cosine: Tensor
    sine: Tensor

    def __init__(self, settings: Settings, capacity: int | None = None) -> None:
        super().__init__()
        self.settings = settings
        self.embedding = nn.Embedding(settings.vocabulary, settings.hidden)
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.layers))
        self.norm = nn.RMSNorm(settings.hidden, eps=settings.norm_epsilon)
        self.head = nn.Linear(settings.hidden, settings.vocabulary, bias=False)
        # One stream of draws for all layers.
        self.draws = Draws(settings.seed)
        for block in self.blocks:
            if settings.routed:
                block.feed_forward.router.draws = self.draws
        cosine, sine = rotary_angles(settings, capacity or settings.sequence)
        dtype = torch.get_default_dtype()
        self.register_buffer("cosine", cosine.to(dtype), persistent=False)
        self.register_buffer("sine", sine.to(dtype), persistent=False)

    def states(
        self, tokens: Tensor, masks: list[Tensor] | None = None, cache: Cache | None = None
    ) -> tuple[Tensor, list[Routing]]:
        """The last block's output for `tokens` [batch, sequence], and each layer's routing."""
        first = 0 if cache is None else cache.length
        end = first + tokens.shape[1]
        cosine, sine = self.cosine[first:end], self.sine[first:end]
        x = self.embedding(tokens)
        routings = []
        for layer, block in enumerate(self.blocks):
            forced = None if masks is None else masks[layer]
            part = None if cache is None else cache.of(layer)
            x, routing = block(x, tokens, cosine, sine, forced, part)
            if routing is not None:
                routings.append(routing)
        if cache is not None:
            cache.length = end
        return x, routings

    def loss(
        self, tokens: Tensor, targets: Tensor, masks: list[Tensor] | None = None
    ) -> tuple[Tensor, list[Routing]]:
        """Mean loss of the next token in nats, without regularisation, and the routing."""
        states, routings = self.states(tokens, masks)
        return self.head_loss(states, targets), routings

    def head_loss(self, states: Tensor, targets: Tensor) -> Tensor:
        """Norm, output head and cross entropy."""
        logits = self.head(self.norm(states))
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def at_step(self, step: int) -> None:
        """Tells the routers how many optimizer steps have been taken, and where draws begin."""
        self.draws.begin(step)
        if self.settings.routed:
            for block in self.blocks:
                block.feed_forward.router.step = step

    def after_step(self, counts: list[Tensor]) -> None:
        """Moves the biases by the tokens of each layer's experts in the whole step."""
        if self.settings.routed and self.settings.row.has_bias:
            for block, count in zip(self.blocks, counts):
                block.feed_forward.router.move_bias(count)

    def compile_parts(self) -> None:
        """Compiles all that has fixed shapes, and each expert for any number of rows.

        What lies between, the dispatch, has shapes that follow from the data: compiled whole, the
        model would break off there, or be compiled again for every count of rows.
        """
        self.head_loss = torch.compile(self.head_loss)
        for block in self.blocks:
            block.attend = torch.compile(block.attend)
            layer = block.feed_forward
            if isinstance(layer, Dense):
                layer.expert.compile()
                continue
            layer.router.compile()
            for expert in layer.experts:
                expert.compile(dynamic=True)

    def total(
        self, loss: Tensor, routings: list[Routing], lambda_: float, share: float
    ) -> Tensor:
        """What is differentiated: a micro-batch's `share` of loss and regularisation.

        The L1 term is λ/(L·T) of the layers' penalties (equation 9 or 10), T the tokens of the
        whole step; TopK's balance loss has its coefficient and is summed over layers.
        """
        settings = self.settings
        if not settings.routed:
            return loss * share
        penalty = torch.stack([routing.penalty for routing in routings]).sum()
        tokens = routings[0].mask.shape[0]
        return (loss + penalty * settings.row.coefficient(settings, lambda_, tokens)) * share

    @torch.inference_mode()
    def generate(self, prompt: list[int], count: int) -> list[int]:
        """Continues a prompt with the likeliest tokens, one row of the model for each."""
        cache = Cache(self.settings, 1, len(prompt) + count)
        tokens, drawn = torch.tensor([prompt]), []
        for _ in range(count):
            states, _ = self.states(tokens, cache=cache)
            tokens = self.head(self.norm(states[:, -1])).argmax(-1, keepdim=True)
            drawn.append(int(tokens))
        return drawn

    def weights(self) -> Iterator[tuple[str, Tensor, slice]]:
        """Each tensor of a checkpoint: its name, the tensor that holds it, and its rows."""
        yield "model.embed_tokens.weight", self.embedding.weight, slice(None)
        for layer, block in enumerate(self.blocks):
            yield from block_weights(f"model.layers.{layer}", block, self.settings)
        yield "model.norm.weight", self.norm.weight, slice(None)
        yield "lm_head.weight", self.head.weight, slice(None)
