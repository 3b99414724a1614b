"""An expert layer's inputs at a given routing, and its results in fp64."""

import torch

from torch_side import TORCH, rounded


class Layer:
    """Tokens, experts and a plan."""

    def __init__(self, bench, tokens, hidden, width, experts, *, dtype, routing, spare=0):
        self.sizes = (tokens, hidden, width, experts)
        self.dtype = dtype
        self.active = chosen(bench, tokens, experts, routing)
        expert, token = self.active.t().nonzero(as_tuple=True)
        self.token, self.expert, self.rows = token, expert, len(token)
        self.capacity = self.rows + spare
        self.spans = [0, *self.active.sum(0).cumsum(0).tolist()]
        gates = bench.uniform(tokens, experts) + 0.1
        self.gates = torch.where(self.active, gates, torch.zeros(()))
        self.plan = plan_of(self)
        self.x = bench.normal(tokens, hidden, dtype=dtype)
        self.dy = bench.normal(tokens, hidden, dtype=dtype)
        self.w1 = bench.normal(experts, hidden, 2 * width, scale=hidden**-0.5, dtype=dtype)
        self.w2 = bench.normal(experts, width, hidden, scale=width**-0.5, dtype=dtype)

    def forward(self):
        """y and h in fp64, with the contract's roundings inside."""
        tokens, hidden, width, _ = self.sizes
        y = torch.zeros(tokens, hidden, dtype=torch.float64)
        h = torch.empty(self.rows, 2 * width, dtype=torch.float64)
        for e, rows, token in self.groups():
            h[rows] = rounded(self.x[token].double() @ self.w1[e].double(), self.dtype)
            gate = self.gates[token, e].double()[:, None]
            a = rounded(gate * swiglu(h[rows]), self.dtype)
            y.index_add_(0, token, a @ self.w2[e].double())
        return y, h

    def gradient(self, h):
        """dx, dw1, dw2, dgates in fp64, from a given h, with the contract's roundings."""
        tokens, hidden, width, experts = self.sizes
        dx = torch.zeros(tokens, hidden, dtype=torch.float64)
        dw1 = torch.zeros(experts, hidden, 2 * width, dtype=torch.float64)
        dw2 = torch.zeros(experts, width, hidden, dtype=torch.float64)
        dgates = torch.zeros(tokens, experts, dtype=torch.float64)
        for e, rows, token in self.groups():
            dy, x = self.dy[token].double(), self.x[token].double()
            gate = self.gates[token, e].double()[:, None]
            g, u = h[rows, :width], h[rows, width:]
            sigmoid = g.sigmoid()
            plain = g * sigmoid * u
            da = dy @ self.w2[e].double().t()
            dgates[token, e] = (da * plain).sum(1)
            da = da * gate
            dg = rounded(da * u * sigmoid * (1 + g * (1 - sigmoid)), self.dtype)
            du = rounded(da * g * sigmoid, self.dtype)
            dh = torch.cat([dg, du], 1)
            dx.index_add_(0, token, dh @ self.w1[e].double().t())
            dw1[e] = x.t() @ dh
            dw2[e] = rounded(gate * plain, self.dtype).t() @ dy
        return dx, dw1, dw2, dgates

    def groups(self):
        """(expert, its rows, their tokens), without empty experts."""
        for e, (start, end) in enumerate(zip(self.spans, self.spans[1:])):
            if end > start:
                yield e, slice(start, end), self.token[start:end]

    def h_shape(self, kept):
        """What the forward pass is to keep."""
        return (max(kept, 1), 2 * self.sizes[2]), TORCH[self.dtype]


def swiglu(h):
    """silu(g) * u."""
    g, u = h.chunk(2, 1)
    return g * g.sigmoid() * u


def chosen(bench, tokens, experts, routing):
    """Which pairs are routed: "one" random expert a token, or "uneven": loads from 0 to half."""
    if routing == "one":
        choice = bench.integers(experts, tokens).long()
        return torch.nn.functional.one_hot(choice, experts).bool()
    share = torch.linspace(0.02, 0.3, experts)
    share[0], share[1 % experts] = 0.5, 0  # a full expert and an empty one
    return bench.uniform(tokens, experts) < share


def plan_of(layer):
    """The dispatch plan by its definition; -1 where the contract leaves it open."""
    tokens, _, _, experts = layer.sizes
    of_token = layer.active.sum(1)
    rows = torch.full((tokens, experts), -1, dtype=torch.int64)
    rows[layer.token, layer.expert] = torch.arange(layer.rows)
    spare = torch.full((layer.capacity - layer.rows,), -1, dtype=torch.int64)
    header = [layer.rows, 0, int((of_token == 0).sum()), layer.capacity]
    return torch.cat([
        torch.tensor(header + layer.spans), torch.zeros(1, dtype=torch.int64), of_token.cumsum(0),
        layer.token, spare, rows[rows >= 0], spare]).to(torch.int32).contiguous()
