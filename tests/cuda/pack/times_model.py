"""Times of the model's functions at a training step's sizes, beside PyTorch's.

Before every timed call stands a large copy: it keeps the device busy until the call's launches are
all enqueued, so that the host's time for them does not count, and leaves none of the inputs in L2.
"""

import math
import statistics

from library import Buffer, DeviceFailure, choices, torch_or_reason
from results import note
from times_tensor import time_graphs, time_tensor

BYTES = {"f32": 4, "bf16": 2}


class Watch:
    """Medians of single calls between two events."""

    def __init__(self, bench, size, repeats):
        import torch

        self.torch, self.bench, self.repeats = torch, bench, repeats
        # Copies of the library are checked by the emulator, so they stay within its own memory.
        self.blocks = [Buffer(bench.library, "b", size) for _ in range(2)]
        self.source = torch.zeros(size, dtype=torch.uint8)
        self.target = torch.zeros(size, dtype=torch.uint8)
        self.moved = 2 * size

    def copy(self):
        """The large copy, on the library's stream."""
        target, source = self.blocks
        self.bench.call("copy", target.address, source.address, self.moved // 2)

    def own(self, call):
        """Seconds of a call of the library."""
        library = self.bench.library
        self.bench.wait()
        for _ in range(2):
            call()
        library.call("synchronize")
        pairs = [library.events(2) for _ in range(self.repeats)]
        for start, end in pairs:
            self.copy()
            library.call("event_record", start)
            call()
            library.call("event_record", end)
        return statistics.median(library.seconds(*pair) for pair in pairs)

    def peer(self, call):
        """Seconds of a call of PyTorch; NaN without a GPU."""
        torch = self.torch
        if not self.bench.on_gpu:
            return math.nan
        for _ in range(2):
            call()
        times = []
        for _ in range(self.repeats):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            self.target.copy_(self.source)
            start.record()
            call()
            end.record()
            times.append((start, end))
        torch.cuda.synchronize()
        return statistics.median(a.elapsed_time(b) for a, b in times) / 1e3


class Table:
    """Rows of times, as shares of what the device can do."""

    def __init__(self, bench, watch):
        self.bench, self.watch = bench, watch
        self.bandwidth, self.rate = math.nan, math.nan

    def head(self):
        """The ceilings and the table's first lines."""
        torch, watch, bench = self.watch.torch, self.watch, self.bench
        size = 8192 if bench.on_gpu else 64
        a, b, c = (bench.normal(size, size, dtype="bf16") for _ in range(3))
        seconds = watch.peer(lambda: torch.matmul(a, b, out=c))
        self.rate = 2 * size**3 / seconds
        self.bandwidth = watch.moved / watch.own(watch.copy)
        print(f"copy: {self.bandwidth / 1e9:.0f} GB/s read and written; product of {size}³ in "
              f"PyTorch's bf16: {self.rate / 1e12:.0f} TFLOPS\n")
        print("| function | ms | TFLOPS, of the 8192³ | GB/s, of the copy | PyTorch ms | times as fast |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
        note("times", name="ceilings", bandwidth=self.bandwidth, rate=self.rate)

    def row(self, name, needs, call, *, flops=0, moved=0, peer=None, peer_name="PyTorch"):
        """Times a call, and a peer's; returns the seconds."""
        lacks = [each for each in needs if not self.bench.library.has(each)]
        if lacks:
            print(f"| {name} | lacking {', '.join(lacks)} | | | | |", flush=True)
            return math.nan
        try:
            seconds = self.watch.own(call)
        except DeviceFailure as failure:
            print(f"| {name} | {failure} | | | | |", flush=True)
            if "gives status 6" in str(failure):
                raise
            return math.nan
        other, words = math.nan, ""
        if peer is not None:
            try:
                other = self.watch.peer(peer)
            except RuntimeError as failure:
                words = str(failure).splitlines()[0][:60]
        self.print(name, seconds, flops, moved, other, words)
        return seconds

    def print(self, name, seconds, flops, moved, other=math.nan, words=""):
        """Prints and notes a row."""
        seconds = max(seconds, 1e-9)
        rate = f"{flops / seconds / 1e12:.0f}, {flops / seconds / self.rate:.2f}" if flops else ""
        speed = f"{moved / seconds / 1e9:.0f}, {moved / seconds / self.bandwidth:.2f}" if moved else ""
        beside = words or ("" if math.isnan(other) else f"{other * 1e3:.3f}")
        ratio = "" if math.isnan(other) else f"{other / seconds:.2f}"
        print(f"| {name} | {seconds * 1e3:.3f} | {rate} | {speed} | {beside} | {ratio} |", flush=True)
        note("times", name=name, ms=seconds * 1e3, flops=flops, bytes=moved,
             torch_ms=None if math.isnan(other) else other * 1e3)


def time_gemm(bench, table, small):
    """Dense products of the model: forward, and both gradients."""
    import torch

    from torch_side import DTYPES, TORCH

    shapes = [("qkv", 16384, 1280, 768), ("attention's output", 16384, 768, 768),
              ("head", 16384, 51200, 768), ("square", 8192, 8192, 8192)]
    if small:
        shapes = [("small", 64, 48, 32)]
    for name, m, n, k in shapes:
        x, w, dy = (bench.normal(*shape, dtype="bf16") for shape in ((m, k), (k, n), (m, n)))
        y, dx = bench.empty(*dy.shape, dtype=dy.dtype), bench.empty(*x.shape, dtype=x.dtype)
        dw, dw16 = bench.empty(k, n), bench.empty(k, n, dtype=TORCH["bf16"])
        bf16, f32 = DTYPES["bf16"], DTYPES["f32"]
        rows = [
            ("", m, n, k, 0, 0, x, w, y, bf16, lambda: torch.matmul(x, w, out=y)),
            (" dX", m, k, n, 0, 1, dy, w, dx, bf16, lambda: torch.matmul(dy, w.t(), out=dx)),
            (" dW in fp32", k, n, m, 1, 0, x, dy, dw, f32,
             lambda: torch.matmul(x.t(), dy, out=dw16))]
        for ending, rows_, columns, inner, ta, tb, a, b, c, c_type, peer in rows:
            table.row(
                f"gemm {name}{ending} {rows_} {columns} {inner}", ["gemm"],
                lambda: bench.call("gemm", bf16, bf16, c_type, ta, tb, rows_, columns, inner, 1.0,
                                   a, a.shape[1], b, b.shape[1], 0.0, c, columns),
                flops=2 * m * n * k, peer=peer)
    if not small:
        a, b, c = (bench.normal(4096, 4096) for _ in range(3))
        table.row("gemm fp32 4096³", ["gemm"],
                  lambda: bench.call("gemm", 0, 0, 0, 0, 0, 4096, 4096, 4096, 1.0, a, 4096, b, 4096,
                                     0.0, c, 4096),
                  flops=2 * 4096**3, peer=lambda: torch.matmul(a, b, out=c))


def time_experts(bench, table, small):
    """Expert layers forward and backward, one random expert a token."""
    import torch

    from layer import Layer
    from torch_side import DTYPES, TORCH

    shapes = [(16384, 768, 3072, 8), (16384, 768, 3072, 32), (16384, 768, 3072, 128),
              (16384, 1536, 6144, 8), (16384, 768, 384, 64)]
    if small:
        shapes = [(64, 32, 48, 4)]
    code, real = DTYPES["bf16"], TORCH["bf16"]
    for tokens, hidden, width, experts in shapes:
        layer = Layer(bench, tokens, hidden, width, experts, dtype="bf16", routing="one")
        sizes, kept = layer.sizes, layer.capacity
        y, h = bench.empty(tokens, hidden, dtype=real), bench.empty(kept, 2 * width, dtype=real)
        dx, dw1, dw2 = bench.empty(*y.shape, dtype=y.dtype), bench.empty(*layer.w1.shape), bench.empty(*layer.w2.shape)
        dgates = bench.empty(tokens, experts)
        flops = 6 * layer.rows * hidden * width

        def forward():
            bench.call("experts_forward", code, y, h, layer.x, layer.w1, layer.w2, layer.gates,
                       layer.plan, kept, *sizes)

        def gradient():
            bench.call("experts_gradient", code, dx, dw1, dw2, dgates, layer.dy, h, layer.x,
                       layer.w1, layer.w2, layer.gates, layer.plan, kept, *sizes, 0)

        name = f"d {hidden}, W {width}, E {experts}"
        one = table.row(f"experts forward {name}", ["experts_forward"], forward, flops=flops)
        other = table.row(f"experts gradient {name}", ["experts_gradient"], gradient,
                          flops=2 * flops)
        if not math.isnan(one + other):
            peer = table.watch.peer(lambda: grouped_layer(layer)) if bench.on_gpu else math.nan
            table.print(f"**experts both {name}**, PyTorch by grouped_mm", one + other, 3 * flops, 0,
                        peer)


def grouped_layer(layer):
    """The same layer in PyTorch, forward and backward, with its grouped product."""
    import torch

    width = layer.sizes[2]
    if not hasattr(layer, "leaves"):
        layer.leaves = [each.detach().clone().requires_grad_()
                        for each in (layer.x, layer.w1, layer.w2, layer.gates)]
        layer.ends = torch.tensor(layer.spans[1:], dtype=torch.int32)
    for leaf in layer.leaves:
        leaf.grad = None
    x, w1, w2, gates = layer.leaves
    h = torch._grouped_mm(x[layer.token], w1, offs=layer.ends)
    a = torch.nn.functional.silu(h[:, :width]) * h[:, width:]
    y = torch._grouped_mm(a, w2, offs=layer.ends)
    y = y * gates[layer.token, layer.expert][:, None].to(y.dtype)
    torch.zeros_like(x).index_add(0, layer.token, y).backward(layer.dy)


def time_attention(bench, table, small):
    """Attention beside scaled_dot_product_attention."""
    import torch
    import torch.nn.functional as F

    from torch_side import DTYPES, TORCH

    shapes = [(16, 1024, 12, 4, 64), (16, 1024, 16, 4, 96), (16, 1024, 12, 4, 128)]
    if small:
        shapes = [(2, 32, 2, 1, 16)]
    code, real = DTYPES["bf16"], TORCH["bf16"]
    for batch, sequence, heads, groups, head in shapes:
        stride, rows = (heads + 2 * groups) * head, batch * sequence
        qkv, dqkv = (bench.normal(rows, stride, dtype="bf16") for _ in range(2))
        out, dout = (bench.normal(rows, heads * head, dtype="bf16") for _ in range(2))
        normalizer = bench.empty(rows, heads, 2)
        ends = (0, heads * head, (heads + groups) * head)
        parts = [qkv[:, end:] for end in ends]
        gradients = [dqkv[:, end:] for end in ends]
        shape = (batch, sequence, heads, groups, head, stride)
        flops = 2 * batch * heads * sequence**2 * head  # the causal half of both products
        views = qkv.view(batch, sequence, heads + 2 * groups, head).transpose(1, 2)
        leaves = [each.detach().contiguous().requires_grad_()
                  for each in views.split((heads, groups, groups), 1)]
        dpeer = dout.view(batch, sequence, heads, head).transpose(1, 2).contiguous()

        def attend():
            return F.scaled_dot_product_attention(*leaves, is_causal=True, enable_gqa=True)

        def attend_only():
            with torch.no_grad():
                attend()

        name = f"{heads} heads of {head}, {groups} groups"
        table.row(f"attention forward {name}", ["attention_forward"],
                  lambda: bench.call("attention_forward", code, out, normalizer, *parts, *shape),
                  flops=flops, peer=attend_only)
        kept = attend() if bench.on_gpu else None
        table.row(f"attention gradient {name}", ["attention_gradient"],
                  lambda: bench.call("attention_gradient", code, *gradients, dout, out, normalizer,
                                     *parts, *shape),
                  flops=flops * 5 / 2,
                  peer=lambda: torch.autograd.grad(kept, leaves, dpeer, retain_graph=True))


def time_head(bench, table, small):
    """Cross entropy fused with the head, beside a product and cross_entropy."""
    import torch
    import torch.nn.functional as F

    from torch_side import DTYPES, TORCH

    tokens, hidden, vocabulary = (64, 32, 96) if small else (16384, 768, 51200)
    code, real = DTYPES["bf16"], TORCH["bf16"]
    x = bench.normal(tokens, hidden, dtype="bf16")
    w = bench.normal(hidden, vocabulary, scale=hidden**-0.5, dtype="bf16")
    targets = bench.integers(vocabulary, tokens)
    loss, each, normalizer = bench.empty(2), bench.empty(tokens), bench.empty(tokens, 2)
    logits = bench.empty(tokens, vocabulary, dtype=real)
    dx, dw, share = bench.empty(*x.shape, dtype=x.dtype), bench.empty(hidden, vocabulary), torch.ones(1)
    flops = 2 * tokens * hidden * vocabulary
    long = targets.long()
    leaves = [x.detach().clone().requires_grad_(), w.detach().clone().requires_grad_()]

    def both():
        for leaf in leaves:
            leaf.grad = None
        F.cross_entropy((leaves[0] @ leaves[1]).float(), long).backward()

    def head_only():
        with torch.no_grad():
            F.cross_entropy((x @ w).float(), long)

    for kept, words in ((logits, "logits kept"), (None, "recomputed")):
        one = table.row(
            f"cross entropy forward, {words}", ["cross_entropy_forward"],
            lambda: bench.call("cross_entropy_forward", code, loss, each, normalizer, kept, x, w,
                               targets, tokens, hidden, vocabulary, vocabulary),
            flops=flops, peer=head_only)
        other = table.row(
            f"cross entropy gradient, {words}", ["cross_entropy_gradient"],
            lambda: bench.call("cross_entropy_gradient", code, dx, dw, share, loss, normalizer, kept,
                               x, w, targets, tokens, hidden, vocabulary, vocabulary, 0),
            flops=2 * flops)
        if not math.isnan(one + other):
            table.print(f"**cross entropy both, {words}**", one + other, 3 * flops, 0,
                        table.watch.peer(both))


def time_moving(bench, table, small):
    """What moves memory: norm, embedding, RoPE, SwiGLU, softmax, optimizer."""
    import torch
    import torch.nn.functional as F

    from torch_side import DTYPES, TORCH

    tokens, hidden, vocabulary = (64, 32, 96) if small else (16384, 768, 51200)
    code, real = DTYPES["bf16"], TORCH["bf16"]
    x, dy, y = (bench.normal(tokens, hidden, dtype="bf16") for _ in range(3))
    weight, inverse = torch.ones(hidden), bench.empty(tokens)
    dweight = bench.empty(hidden)
    size = tokens * hidden
    weight16 = weight.to(real)
    leaf, leaf_weight = x.clone().requires_grad_(), weight16.clone().requires_grad_()
    made = F.rms_norm(leaf, (hidden,), leaf_weight, 1e-5)
    table.row("rms_norm forward", ["rms_norm_forward"],
              lambda: bench.call("rms_norm_forward", code, y, inverse, x, weight, tokens, hidden,
                                 1e-5),
              moved=4 * size, peer=lambda: F.rms_norm(x, (hidden,), weight16, 1e-5))
    table.row("rms_norm gradient", ["rms_norm_gradient"],
              lambda: bench.call("rms_norm_gradient", code, y, dweight, dy, inverse, x, weight,
                                 tokens, hidden, 0),
              moved=6 * size,
              peer=lambda: torch.autograd.grad(made, (leaf, leaf_weight), dy, retain_graph=True))
    table.row("rms_norm gradient, added", ["rms_norm_gradient"],
              lambda: bench.call("rms_norm_gradient", code, y, dweight, dy, inverse, x, weight,
                                 tokens, hidden, 3), moved=8 * size)
    ids = bench.integers(min(256, vocabulary), tokens)
    embedding = bench.normal(vocabulary, hidden, dtype="bf16")
    dtable = bench.empty(vocabulary, hidden)
    table.row("embedding forward, 256 of the ids", ["embedding_forward"],
              lambda: bench.call("embedding_forward", code, y, embedding, ids, tokens, hidden,
                                 vocabulary), moved=4 * size,
              peer=lambda: F.embedding(ids, embedding))
    for words, own in (("256 of the ids", ids), ("all ids", bench.integers(vocabulary, tokens))):
        table.row(f"embedding gradient, {words}", ["embedding_gradient"],
                  lambda: bench.call("embedding_gradient", code, dtable, dy, own, tokens, hidden,
                                     vocabulary, 0), moved=2 * size + 4 * vocabulary * hidden)
    heads, groups, head, sequence = (2, 1, 16, 32) if small else (12, 4, 64, 1024)
    stride = (heads + 2 * groups) * head
    qkv = bench.normal(tokens, stride, dtype="bf16")
    table.row("rope on q and k", ["rope"],
              lambda: bench.call("rope", code, qkv, tokens, stride, sequence, heads + groups, head,
                                 1e6, 0, 0), moved=4 * tokens * (heads + groups) * head)
    width = 4 * hidden
    h, a = bench.normal(tokens, 2 * width, dtype="bf16"), bench.normal(tokens, width, dtype="bf16")
    dh = bench.empty(*h.shape, dtype=h.dtype)
    table.row("swiglu forward", ["swiglu_forward"],
              lambda: bench.call("swiglu_forward", code, a, h, tokens, width),
              moved=6 * tokens * width)
    table.row("swiglu gradient", ["swiglu_gradient"],
              lambda: bench.call("swiglu_gradient", code, dh, a, h, tokens, width, 0),
              moved=10 * tokens * width)
    table.row("accumulate bf16 into bf16", ["accumulate"],
              lambda: bench.call("accumulate", code, y, code, x, 1.0, size), moved=6 * size)
    table.row("fill", ["fill"], lambda: bench.call("fill", code, h, 0.0, h.numel()),
              moved=2 * h.numel())
    draws = bench.empty(size)
    table.row("random normal", ["random"],
              lambda: bench.call("random", 1, draws, size, 0.0, 1.0, 7, 0, 1), moved=4 * size)


def time_optimizer(bench, table, small):
    """AdamW with a bf16 copy, and the gradients' norm, beside PyTorch's fused AdamW."""
    import torch

    sizes = (4096,) if small else (301_989_888, 75_497_472, 39_321_600)
    masters, gradients, first, second = ([bench.normal(n, scale=0.01) for n in sizes]
                                         for _ in range(4))
    second = [each.abs() for each in second]
    copies = [bench.empty(n, dtype=torch.bfloat16) for n in sizes]
    rows = [[*(each.data_ptr() for each in tensors), n, 1, 0] for n, tensors in zip(
        sizes, zip(masters, gradients, first, second, copies))]
    words = torch.tensor(rows, dtype=torch.int64)
    state = torch.zeros(32, dtype=torch.float64)
    state[:4] = torch.tensor([1e-6, 0.1, 0.001, 1], dtype=torch.float64)
    total = sum(sizes)
    table.row("gradient_norm", ["gradient_norm"],
              lambda: bench.call("gradient_norm", state, words, len(sizes), 1.0), moved=4 * total,
              peer=lambda: torch.nn.utils.get_total_norm(gradients))
    table.row("adamw with a bf16 copy", ["adamw"],
              lambda: bench.call("adamw", state, words, len(sizes), 0.9, 0.999, 1e-8, 0.01),
              moved=30 * total)
    if bench.on_gpu:
        for master, gradient in zip(masters, gradients):
            master.grad = gradient
        optimizer = torch.optim.AdamW(masters, lr=1e-6, fused=True)
        optimizer.step()
        seconds = table.watch.peer(optimizer.step)
        table.print("PyTorch's fused AdamW, no copy", seconds, 0, 28 * total)


def time_routers(bench, table, small):
    """Routers with their gradients, and the plan."""
    import torch

    from torch_side import DTYPES, TORCH

    tokens, hidden = (64, 32) if small else (16384, 768)
    for experts in ((8,) if small else (8, 32, 128)):
        pairs, words = tokens * experts, (experts + 31) // 32
        x = bench.normal(tokens, hidden, dtype="bf16")
        w = bench.normal(hidden, experts, scale=hidden**-0.5)
        gates, p, dgates, dlogits = (torch.zeros(tokens, experts) for _ in range(4))
        mask = torch.zeros(tokens, words, dtype=torch.int32)
        counts, sums = torch.zeros(experts, dtype=torch.int32), torch.zeros(experts)
        normalizer, z = torch.zeros(tokens), torch.zeros(1)
        code = DTYPES["bf16"]
        label = f"T {tokens}, d {hidden}, E {experts}"
        table.row(f"relu_router forward {label}", ["relu_router_forward"],
                  lambda: bench.call("relu_router_forward", code, gates, mask, counts, sums, x, w,
                                     tokens, hidden, experts, 0),
                  moved=2 * tokens * hidden + 4 * pairs)
        for name, outputs, ending in (
                ("topk", (gates, p, mask, counts, sums, normalizer, z), (1, 0)),
                ("sigmoid", (gates, p, mask, counts, sums, None), (1, 1))):
            table.row(f"{name}_router forward {label}", [f"{name}_router_forward"],
                      lambda: bench.call(f"{name}_router_forward", code, *outputs, x, w, tokens,
                                         hidden, experts, *ending),
                      moved=2 * tokens * hidden + 8 * pairs)
        table.row(f"topk_router gradient {label}", ["topk_router_gradient"],
                  lambda: bench.call("topk_router_gradient", dlogits, dgates, gates, mask, p,
                                     normalizer, counts, 1e-3, 0.0, tokens, experts, 1, 0),
                  moved=12 * pairs)
        dx, dw = bench.empty(tokens, hidden, dtype=TORCH["bf16"]), bench.empty(hidden, experts)
        f32 = DTYPES["f32"]
        dx.zero_()
        dw.zero_()
        table.row(f"router dX added {label}", ["gemm"],
                  lambda: bench.call("gemm", f32, f32, code, 0, 1, tokens, hidden, experts, 1.0,
                                     dlogits, experts, w, experts, 1.0, dx, hidden),
                  moved=4 * pairs + 4 * tokens * hidden)
        table.row(f"router dW {label}", ["gemm"],
                  lambda: bench.call("gemm", code, f32, f32, 1, 0, hidden, experts, tokens, 1.0, x,
                                     hidden, dlogits, experts, 0.0, dw, experts),
                  moved=4 * pairs + 2 * tokens * hidden)


TIMES = {"gemm": time_gemm, "experts": time_experts, "attention": time_attention,
         "head": time_head, "moving": time_moving, "optimizer": time_optimizer,
         "routers": time_routers, "tensor": time_tensor, "graphs": time_graphs}


def main():
    """Prints one table."""
    small, wanted = choices(__doc__, TIMES)
    torch, reason = torch_or_reason()
    if torch is None:
        print(f"skipped: no PyTorch: {reason}")
        return
    from torch_side import Bench

    bench = Bench()
    watch = Watch(bench, (1 if small else 512) << 20, 3 if small else 10)
    table = Table(bench, watch)
    table.head()
    for name in wanted:
        TIMES[name](bench, table, small)


if __name__ == "__main__":
    main()
