/** The Python file with which transformers runs a model with ReLU routing. @module */

/** Its name. */
export const MODELING_FILE = "modeling_remoe.py";
/** The class in it. */
export const RELU_CLASS = "RemoeForCausalLM";

/**
 * Its text. The model type stays Mixtral's, whose weights transformers converts by it; only the
 * layer that routes is another one.
 */
export const RELU_MODELING =
  `"""Mixtral with ReLU routing (ReMoE, https://arxiv.org/abs/2412.14711)."""

import torch
from torch import nn
from torch.nn import functional as F

from transformers import MixtralForCausalLM
from transformers.models.mixtral.modeling_mixtral import MixtralExperts

GATES = {
    "relu": F.relu,
    "relu-squared": lambda logits: F.relu(logits).square(),
    "tanh": lambda logits: F.relu(logits).tanh(),
}


class RemoeSharedExpert(nn.Module):
    """The network that every token uses besides those it is routed to."""

    def __init__(self, hidden, width):
        super().__init__()
        self.gate_proj = nn.Linear(hidden, width, bias=False)
        self.up_proj = nn.Linear(hidden, width, bias=False)
        self.down_proj = nn.Linear(width, hidden, bias=False)

    def forward(self, states):
        return self.down_proj(F.silu(self.gate_proj(states)) * self.up_proj(states))


class RemoeSparseMoeBlock(nn.Module):
    """Experts whose gates are the positive logits of the router, however many those are."""

    def __init__(self, config):
        super().__init__()
        hidden = config.hidden_size
        self.activation = GATES[config.remoe_gate]
        self.gate = nn.Linear(hidden, config.num_local_experts, bias=False)
        self.experts = MixtralExperts(config)
        width = config.remoe_shared_width
        self.shared_expert = RemoeSharedExpert(hidden, width) if width > 0 else None

    def forward(self, hidden_states):
        states = hidden_states.reshape(-1, hidden_states.shape[-1])
        logits = F.linear(states.float(), self.gate.weight.float())
        gates = self.activation(logits)
        output = torch.zeros_like(states) if self.shared_expert is None else self.shared_expert(states)
        for expert in range(gates.shape[-1]):
            (tokens,) = gates[:, expert].nonzero(as_tuple=True)
            if tokens.numel() == 0:
                continue
            gate, up = F.linear(states[tokens], self.experts.gate_up_proj[expert]).chunk(2, dim=-1)
            result = F.linear(F.silu(gate) * up, self.experts.down_proj[expert])
            weighted = result * gates[tokens, expert, None]
            output = output.index_add(0, tokens, weighted.to(output.dtype))
        return output.reshape(hidden_states.shape)


class RemoeForCausalLM(MixtralForCausalLM):
    """Mixtral with the router of ReMoE in each layer."""

    def __init__(self, config):
        super().__init__(config)
        for layer in self.model.layers:
            layer.mlp = RemoeSparseMoeBlock(config)
        self.post_init()
`;
