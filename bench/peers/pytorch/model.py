"""The model of remoe in PyTorch: LLaMA blocks with Mixture-of-Experts layers.

Written from the equations of the ReMoE paper, not from the kernels, so that agreement of the two
means something: gradients are PyTorch's own, and the regularisation is part of the loss.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from draws import Draws


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
    deviation: float
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
            deviation=model["init_std"],
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


class Cache:
    """Keys and values of the tokens before, for generation."""

    def __init__(self, settings: Settings, batch: int, capacity: int) -> None:
        head = settings.hidden // settings.heads
        shape = (settings.layers, 2, batch, settings.groups, capacity, head)
        self.memory = torch.zeros(shape)
        self.length = 0

    def of(self, layer: int) -> LayerCache:
        """The part of one layer."""
        return LayerCache(self.memory[layer], self.length)


@dataclass
class LayerCache:
    """Keys and values of one layer, [2, batch, groups, capacity, head]."""

    memory: Tensor
    length: int

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Adds the keys and values of new tokens; gives those of all tokens."""
        end = self.length + key.shape[2]
        self.memory[0, :, :, self.length : end] = key
        self.memory[1, :, :, self.length : end] = value
        return self.memory[0, :, :, :end], self.memory[1, :, :, :end]


def rotary_angles(settings: Settings, capacity: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of each position's angles; in float64, as large positions need."""
    half = settings.hidden // settings.heads // 2
    exponents = torch.arange(half, dtype=torch.float64) / half
    angles = torch.outer(torch.arange(capacity).double(), settings.rope_base**-exponents)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turns the pairs (i, i + half) of each head of `x` [batch, sequence, heads, head]."""
    first, second = x.chunk(2, dim=-1)
    cosine, sine = cosine[:, None], sine[:, None]
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


class Attention(nn.Module):
    """Causal grouped-query attention; queries, keys and values are one product."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.heads, self.groups = settings.heads, settings.groups
        self.head = settings.hidden // settings.heads
        columns = (self.heads + 2 * self.groups) * self.head
        self.qkv = nn.Linear(settings.hidden, columns, bias=False)
        self.output = nn.Linear(settings.hidden, settings.hidden, bias=False)

    def forward(
        self, x: Tensor, cosine: Tensor, sine: Tensor, cache: LayerCache | None
    ) -> Tensor:
        batch, sequence, hidden = x.shape
        sizes = (self.heads, self.groups, self.groups)
        qkv = self.qkv(x).view(batch, sequence, -1, self.head)
        query, key, value = qkv.split(sizes, dim=2)
        query = rotate(query, cosine, sine).transpose(1, 2)
        key = rotate(key, cosine, sine).transpose(1, 2)
        value = value.transpose(1, 2)
        if cache is not None:
            key, value = cache.extend(key, value)
        attended = F.scaled_dot_product_attention(
            query, key, value, is_causal=sequence > 1, enable_gqa=self.heads != self.groups
        )
        return self.output(attended.transpose(1, 2).reshape(batch, sequence, hidden))


class Expert(nn.Module):
    """A SwiGLU feed-forward network; the gate's and the up projection are one product.

    Each expert has parameters of its own: slices of one stacked parameter would each get a
    gradient of the whole stack's size.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.gate_up = nn.Linear(settings.hidden, 2 * settings.width, bias=False)
        self.down = nn.Linear(settings.width, settings.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


@dataclass
class Routing:
    """Gates [tokens, experts], which of them are open, and the layer's share of the loss.

    `penalty` has no coefficient yet: equation 9 or 10 of the paper for one layer, times the
    tokens, or Switch's balance loss.
    """

    gates: Tensor
    mask: Tensor
    penalty: Tensor


class Router(nn.Module):
    """Any router. A `forced` mask replaces its own choice of experts."""

    bias: Tensor

    linear: nn.Linear | None

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.draws = Draws(settings.seed)
        has_weights = settings.row.has_weights
        shape = (settings.hidden, settings.experts)
        self.linear = nn.Linear(*shape, bias=False) if has_weights else None
        self.register_buffer("bias", torch.zeros(settings.experts))
        self.step = math.inf

    @property
    def active(self) -> int:
        """Experts per token in the current step."""
        settings = self.settings
        is_warm = settings.warmup_active == 0 or self.step >= settings.warmup_steps
        return settings.active if is_warm else settings.warmup_active

    def forward(self, x: Tensor, tokens: Tensor, forced: Tensor | None = None) -> Routing:
        """Routes the states `x` [tokens, hidden] of the token ids `tokens` [tokens]."""
        if self.linear is None:
            return self.settings.row.route(self, tokens, forced)
        return self.settings.row.route(self, self.linear(x), forced)

    def relu(self, logits: Tensor, forced: Tensor | None) -> Routing:
        """Equation 5, and the L1 term of equation 9 or 10."""
        mask = logits > 0 if forced is None else forced
        gates = F.relu(logits) if forced is None else torch.where(forced, logits, 0)
        weights = self.balance(mask)
        return Routing(gates, mask, (weights * gates.sum(0)).sum())

    def balance(self, mask: Tensor) -> Tensor:
        """f_e of equation 11; a constant for autograd, being a count."""
        settings = self.settings
        if settings.balance == "load":
            return mask.sum(0) * (settings.experts / (settings.active * mask.shape[0]))
        return torch.full((settings.experts,), 1.0 if settings.balance == "plain" else 0.0)

    def topk(self, logits: Tensor, forced: Tensor | None) -> Routing:
        """The k largest of the softmax over all experts, and Switch's balance loss."""
        settings = self.settings
        probabilities = logits.softmax(-1)
        mask = largest(probabilities, self.active) if forced is None else forced
        gates = torch.where(mask, probabilities, 0)
        if settings.renormalize:
            gates = gates / gates.sum(-1, keepdim=True)
        return Routing(gates * settings.gate_scale, mask, self.switch(mask, probabilities))

    def switch(self, mask: Tensor, probabilities: Tensor) -> Tensor:
        """Switch's balance loss; the counts are constants for autograd."""
        scale = self.settings.experts / (self.active * mask.shape[0] ** 2)
        return (mask.sum(0) * probabilities.sum(0)).sum() * scale

    def sparsemixer(self, logits: Tensor, forced: Tensor | None) -> Routing:
        """SparseMixer-v2 in training: drawn experts, and p without Heun's factor in backward."""
        settings = self.settings
        tokens, experts = logits.shape
        noise = self.draws.uniform(tokens, settings.active, experts + 1)
        gates, mask = torch.zeros_like(logits), torch.zeros_like(logits, dtype=torch.bool)
        for choice in range(settings.active):
            left = logits.detach().masked_fill(mask, -math.inf)
            largest, best = left.max(-1, keepdim=True)
            width = 2 * settings.jitter * torch.maximum(left.abs(), largest)
            kept = ~mask & ((largest - left <= width) | (left == largest))
            p = logits.masked_fill(~kept, -math.inf).softmax(-1)
            own = left - (-noise[:, choice, :experts].log()).log()
            if forced is not None:
                # What the mask kept first: an expert of the next choice may lie outside of it.
                both, rest = forced & kept, forced & ~mask
                kept = torch.where(both.any(-1, keepdim=True), both, rest)
            drawn = own.masked_fill(~kept, -math.inf).argmax(-1, keepdim=True)
            whole = (drawn == best) | (noise[:, choice, experts:] > 0.75)
            gate = p.gather(-1, drawn)
            value = gate * torch.where(whole, 1.0, 1 / 3)
            gates = gates.scatter(-1, drawn, gate + (value - gate).detach())
            mask = mask.scatter(-1, drawn, True)
        return Routing(gates, mask, self.switch(mask, logits.softmax(-1)))

    def sigmoid(self, logits: Tensor, forced: Tensor | None) -> Routing:
        """The sigmoids of the k largest sigmoid + bias (DeepSeek-V3)."""
        settings = self.settings
        scores = logits.sigmoid()
        mask = largest(scores + self.bias, settings.active) if forced is None else forced
        gates = torch.where(mask, scores, 0)
        if settings.normalize:
            gates = gates / (gates.sum(-1, keepdim=True) + 1e-20)
        return Routing(gates * settings.gate_scale, mask, logits.new_zeros(()))

    def move_bias(self, counts: Tensor) -> None:
        """Lowers the bias of experts with more tokens than the mean, and raises the others'."""
        self.bias += self.settings.bias_rate * (counts.double().mean() - counts).sign()

    def lory(self, logits: Tensor, _forced: Tensor | None) -> Routing:
        """Weights of all experts, from the logits of segments rather than tokens."""
        weights = logits.softmax(-1)
        return Routing(weights, torch.ones_like(weights, dtype=torch.bool), weights.new_zeros(()))

    def hash(self, tokens: Tensor, forced: Tensor | None) -> Routing:
        """Gate 1 for the expert that a token's id is congruent to."""
        gates = F.one_hot(tokens % self.settings.experts, self.settings.experts)
        gates = gates.to(torch.get_default_dtype())
        mask = gates > 0 if forced is None else forced
        return Routing(gates, mask, gates.new_zeros(()))

    def expert_choice(self, logits: Tensor, forced: Tensor | None) -> Routing:
        """Each expert takes its share of each group's tokens, by their probability."""
        settings = self.settings
        probabilities = logits.softmax(-1)
        mask = forced
        if mask is None:
            size = settings.sequence if settings.group == "sequence" else len(logits)
            share = settings.capacity * settings.active / settings.experts
            groups = probabilities.unflatten(0, (-1, size))
            chosen = groups.topk(expert_share(size, share), dim=1).indices
            empty = torch.zeros_like(groups, dtype=torch.bool)
            mask = empty.scatter(1, chosen, True).flatten(0, 1)
        return Routing(torch.where(mask, probabilities, 0), mask, logits.new_zeros(()))


def expert_share(tokens: int, share: float) -> int:
    """The whole part of `tokens * share`, at least 1; 62.999... for want of a digit is 63."""
    exact = tokens * share
    nearest = round(exact)
    is_whole = abs(exact - nearest) <= 4 * sys.float_info.epsilon * exact
    return max(1, nearest if is_whole else math.floor(exact))


def largest(values: Tensor, count: int) -> Tensor:
    """A mask of the `count` largest values of each row."""
    chosen = values.topk(count, dim=-1).indices
    return torch.zeros_like(values, dtype=torch.bool).scatter(1, chosen, True)


@dataclass(frozen=True)
class Row:
    """The facts of a router, like its row in `lib/moe/router_rows`."""

    route: Callable[[Router, Tensor, Tensor | None], Routing] | None
    """Gates from logits, or from token ids; none where the model is dense."""
    coefficient: Callable[[Settings, float, int], float]
    """What the layers' penalties are multiplied by, from λ and the tokens of a micro-batch."""
    adapts: Callable[[Settings], bool]
    """Whether λ follows the sparsity."""
    merges: bool = False
    """Whether experts are averaged rather than chosen."""
    has_bias: bool = False
    """Whether biases follow the load."""
    has_weights: bool = True
    """Whether `route` gets logits; otherwise it gets token ids."""


def without_penalty(_settings: Settings, _lambda: float, _tokens: int) -> float:
    """The coefficient of a router that adds nothing to the loss."""
    return 0.0


ROUTERS: dict[str, Row] = {
    "dense": Row(None, without_penalty, lambda settings: False),
    "topk": Row(
        Router.topk,
        lambda settings, lambda_, tokens: settings.balance_coefficient,
        lambda settings: False,
    ),
    "relu": Row(
        Router.relu,
        lambda settings, lambda_, tokens: lambda_ / (settings.layers * tokens),
        lambda settings: settings.balance != "none",
    ),
    "lory": Row(
        Router.lory, without_penalty, lambda settings: False, merges=True
    ),
    "hash": Row(Router.hash, without_penalty, lambda settings: False, has_weights=False),
    "sparsemixer": Row(
        Router.sparsemixer,
        lambda settings, lambda_, tokens: settings.balance_coefficient,
        lambda settings: False,
    ),
    "expert-choice": Row(Router.expert_choice, without_penalty, lambda settings: False),
    "sigmoid": Row(
        Router.sigmoid,
        without_penalty,
        lambda settings: False,
        has_bias=True,
    ),
}


class MoE(nn.Module):
    """A router and its experts; every token goes to the experts whose gates are open."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.router = Router(settings)
        self.experts = nn.ModuleList(Expert(settings) for _ in range(settings.experts))

    def forward(
        self, x: Tensor, tokens: Tensor, forced: Tensor | None
    ) -> tuple[Tensor, Routing]:
        routing = self.router(x, tokens, forced)
        return self.dispatch(x, routing), routing

    def dispatch(self, x: Tensor, routing: Routing) -> Tensor:
        """Sorts the open pairs by expert, runs each expert on its rows, and adds them up."""
        mask = routing.mask.t()
        _, tokens = mask.nonzero(as_tuple=True)
        rows = x.index_select(0, tokens).split(mask.sum(1).tolist())
        # In training an expert without rows gets a gradient of zeros, so that its moments decay.
        parts = [
            expert(part)
            for expert, part in zip(self.experts, rows)
            if len(part) > 0 or torch.is_grad_enabled()
        ]
        if not parts:
            return torch.zeros_like(x)
        results = torch.cat(parts)
        gates = routing.gates.t().masked_select(mask)
        return torch.zeros_like(x).index_add_(0, tokens, results * gates[:, None])


class Merged(MoE):
    """Lory: the experts' weights are averaged once per segment of a sequence.

    The mean of the segment before decides on the average. The first segment has its own mean, as a
    constant. Generation, which routes by the prompt, is not implemented.
    """

    def forward(self, x: Tensor, _forced: Tensor | None) -> tuple[Tensor, Routing]:
        sequence = self.router.settings.sequence
        length = min(256, math.ceil(sequence / 4))
        gate_up = torch.stack([expert.gate_up.weight for expert in self.experts])
        down = torch.stack([expert.down.weight for expert in self.experts])
        parts, weights = [], []
        for states in x.split(sequence):
            segments = states.split(length)
            means = [segments[0].detach().mean(0), *(part.mean(0) for part in segments[:-1])]
            for segment, mean in zip(segments, means):
                routing = self.router(mean[None])
                (shares,) = routing.gates
                gate, up = F.linear(segment, average(shares, gate_up)).chunk(2, dim=-1)
                parts.append(F.linear(F.silu(gate) * up, average(shares, down)))
                weights.append(routing.gates.expand(len(segment), -1))
        gates = torch.cat(weights)
        mask = torch.ones_like(gates, dtype=torch.bool)
        return torch.cat(parts), Routing(gates, mask, gates.new_zeros(()))


def average(shares: Tensor, matrices: Tensor) -> Tensor:
    """The sum of [experts, rows, columns] over the experts, weighted by their shares."""
    return torch.einsum("e,eij->ij", shares, matrices)


class Dense(nn.Module):
    """The plain feed-forward network of a dense model, in the place of an MoE layer."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.expert = Expert(settings)

    def forward(
        self, x: Tensor, _tokens: Tensor, _forced: Tensor | None
    ) -> tuple[Tensor, None]:
        return self.expert(x), None


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        epsilon = settings.norm_epsilon
        self.attention_norm = nn.RMSNorm(settings.hidden, eps=epsilon)
        self.attention = Attention(settings)
        self.feed_forward_norm = nn.RMSNorm(settings.hidden, eps=epsilon)
        layer = Merged if settings.row.merges else MoE if settings.routed else Dense
        self.feed_forward = layer(settings)

    def attend(
        self, x: Tensor, cosine: Tensor, sine: Tensor, cache: LayerCache | None
    ) -> tuple[Tensor, Tensor]:
        """The attention half; gives the residual stream and the input of the second half."""
        x = x + self.attention(self.attention_norm(x), cosine, sine, cache)
        return x, self.feed_forward_norm(x).flatten(0, 1)

    def forward(
        self,
        x: Tensor,
        tokens: Tensor,
        cosine: Tensor,
        sine: Tensor,
        forced: Tensor | None,
        cache: LayerCache | None,
    ) -> tuple[Tensor, Routing | None]:
        x, normed = self.attend(x, cosine, sine, cache)
        y, routing = self.feed_forward(normed, tokens.flatten(), forced)
        return x + y.view_as(x), routing


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

    def initialize(self, seed: int) -> None:
        """Draws weights as remoe does: projections into the residual stream get less."""
        generator = torch.Generator().manual_seed(seed)
        residual = self.settings.deviation / math.sqrt(2 * self.settings.layers)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.dim() == 1:
                    continue
                into_residual = name.endswith(("output.weight", "down.weight"))
                deviation = residual if into_residual else self.settings.deviation
                parameter.normal_(0, deviation, generator=generator)


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
