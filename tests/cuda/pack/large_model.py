"""The model's functions at a training step's sizes, against PyTorch in fp64.

Every call runs twice, into poisoned outputs before guards, and must give the same bits. References
round where the contract has kernels round.
"""

import math
from dataclasses import dataclass

from library import choices, torch_or_reason


@dataclass(frozen=True)
class Sizes:
    """The sizes to check."""

    tokens: int
    hidden: int
    width: int
    experts: tuple
    vocabulary: int
    batch: int
    sequence: int
    heads: tuple  # (heads, groups, head size) each
    parameters: tuple
    products: tuple  # (m, n, k) each


LARGE = Sizes(16384, 768, 3072, (8, 32), 50304, 16, 1024, ((12, 4, 64), (12, 12, 128)),
              (38_633_472, 9_437_184, 768, 1001),
              ((16384, 1280, 768), (768, 1280, 16384), (16384, 768, 1280), (4099, 777, 1001)))
SMALL = Sizes(96, 48, 40, (5,), 259, 2, 37, ((4, 2, 16),), (1030, 48, 1), ((70, 50, 33),))


def check_gemm(bench, sizes):
    """Products with all transposes, alpha, beta and each type; the contract's bound."""
    from torch_side import BF16_ROUNDOFF, DTYPES, STEP, TORCH, Errors

    types = (("f32", "f32", "f32"), ("bf16", "bf16", "bf16"), ("bf16", "bf16", "f32"),
             ("f32", "bf16", "f32"))
    for m, n, k in sizes.products:
        for ta, tb in ((0, 0), (0, 1), (1, 0), (1, 1)):
            for a_type, b_type, c_type in types:
                a = bench.normal(*((k, m) if ta else (m, k)), dtype=a_type)
                b = bench.normal(*((n, k) if tb else (k, n)), dtype=b_type)
                before = bench.normal(m, n, dtype=c_type)
                alpha, beta = (1.0, 0.0) if (ta, tb) != (1, 0) else (0.5, 1.0)

                def body():
                    (c,), problems = bench.twice(
                        [((m, n), TORCH[c_type])],
                        lambda out: bench.call(
                            "gemm", DTYPES[a_type], DTYPES[b_type], DTYPES[c_type], ta, tb, m, n,
                            k, alpha, a, a.shape[1], b, b.shape[1], beta, out, n),
                        before=[before if beta else None])
                    x, y = a.double(), b.double()
                    x, y = x.t() if ta else x, y.t() if tb else y
                    exact = alpha * (x @ y) + beta * before.double()
                    bound = STEP * (k * alpha * (x.abs() @ y.abs()) + 4 * exact.abs()
                                    + (2 * before.double().abs() if beta else 0))
                    if c_type == "bf16":
                        bound += BF16_ROUNDOFF * (exact.abs() + bound)
                    errors = Errors(problems)
                    errors.within("C", c, exact, bound)
                    limits = {"bf16": (3e-3, 1e-2), "f32": (1e-4, 1e-3)}[c_type]
                    errors.near("C", c, exact, *limits)
                    return errors.result()

                name = f"gemm {a_type} x {b_type} -> {c_type} {'tn'[1 - ta]}{'tn'[1 - tb]} {m} {n} {k}"
                bench.check(name, ["gemm"], body)


def check_experts(bench, sizes):
    """Forward and gradient, with all pre-activations kept, some, and none: the same bits."""
    from layer import Layer

    cases = [(experts, routing) for experts in sizes.experts for routing in ("one", "uneven")]
    for dtype in ("bf16", "f32"):
        for experts, routing in cases:
            tokens = sizes.tokens if dtype == "bf16" else max(64, sizes.tokens // 4)
            if experts > 8 and routing == "uneven":
                tokens //= 2
            layer = Layer(bench, tokens, sizes.hidden, sizes.width, experts, dtype=dtype,
                          routing=routing, spare=77)
            label = f"{dtype} T={tokens} D={sizes.hidden} W={sizes.width} E={experts} " \
                    f"{routing} N={layer.rows}"
            results = {}
            bench.check(f"experts_forward {label}", ["experts_forward"],
                        lambda: forward(bench, layer, results))
            if "h" in results:
                bench.check(f"experts_gradient {label}", ["experts_gradient"],
                            lambda: gradient(bench, layer, results["h"]))
            bench.check(f"dispatch_plan {label}", ["routing_mask", "dispatch_plan"],
                        lambda: plan(bench, layer))


def forward(bench, layer, results):
    """The forward pass with all rows kept, and with a third of them."""
    from torch_side import DTYPES, TORCH, Errors

    tokens, hidden, width, experts = layer.sizes
    exact, exact_h = layer.forward()
    runs = []
    problems = []
    for kept in (layer.capacity, layer.rows // 3, 0):
        (y, h), more = bench.twice(
            [((tokens, hidden), TORCH[layer.dtype]), layer.h_shape(kept)],
            lambda y, h: bench.call(
                "experts_forward", DTYPES[layer.dtype], y, h if kept else None, layer.x, layer.w1,
                layer.w2, layer.gates, layer.plan, kept, tokens, hidden, width, experts))
        problems += [f"kept {kept}: {each}" for each in more]
        runs.append((y, h, kept))
    errors = Errors(problems)
    y, h, _ = runs[0]
    rows = layer.rows
    bf16 = layer.dtype == "bf16"
    errors.near("y", y, exact, *((4e-3, 2e-2) if bf16 else (4e-6, 5e-5)))
    errors.near("h", h[:rows], exact_h, *((2e-3, 1e-2) if bf16 else (4e-6, 5e-5)))
    for other, some, kept in runs[1:]:
        errors.equal(f"y with {kept} rows kept", other, y)
        if kept:
            errors.equal(f"h with {kept} rows kept", some, h[:kept])
    idle = ~layer.active.any(1)
    if not bool((y[idle] == 0).all()):
        errors.problems.append("y of a token without an expert is not 0")
    results["h"] = h
    return errors.result()


def gradient(bench, layer, h):
    """The gradients with all rows kept, with a third, and with none; and added to."""
    import torch

    from torch_side import DTYPES, TORCH, Errors

    tokens, hidden, width, experts = layer.sizes
    real = TORCH[layer.dtype]
    exact = layer.gradient(h[:layer.rows].double())
    shapes = [((tokens, hidden), real), ((experts, hidden, 2 * width), torch.float32),
              ((experts, width, hidden), torch.float32), ((tokens, experts), torch.float32)]
    runs, problems = [], []
    before = [bench.normal(*shape).to(dtype) for shape, dtype in shapes]
    for kept, mask in ((layer.capacity, 0), (layer.rows // 3, 0), (0, 0), (layer.capacity, 15)):
        outputs, more = bench.twice(
            shapes,
            lambda *out: bench.call(
                "experts_gradient", DTYPES[layer.dtype], *out, layer.dy,
                h if kept else None, layer.x, layer.w1, layer.w2, layer.gates, layer.plan, kept,
                tokens, hidden, width, experts, mask),
            before=before if mask else ())
        problems += [f"kept {kept}: {each}" for each in more]
        runs.append(outputs)
    errors = Errors(problems)
    bf16 = layer.dtype == "bf16"
    # The worst are operands that lie at a boundary of bf16, and so are rounded the other way.
    limits = {"dx": (5e-3, 3e-2), "dw1": (1e-3, 4e-2), "dw2": (1e-3, 2e-2), "dgates": (1e-3, 1e-2)}
    for i, name in enumerate(limits):
        errors.near(name, runs[0][i], exact[i], *(limits[name] if bf16 else (1e-5, 2e-4)))
        for outputs, words in zip(runs[1:3], ("a third of the rows", "no rows")):
            errors.equal(f"{name} with {words} kept", outputs[i], runs[0][i])
        added = before[i].double() + exact[i]
        errors.near(f"{name} added", runs[3][i], added, *(limits[name] if bf16 else (1e-5, 2e-4)))
    return errors.result()


def plan(bench, layer):
    """Mask and plan of the layer's gates."""
    import torch

    from torch_side import Errors

    tokens, _, _, experts = layer.sizes
    words = (experts + 31) // 32
    (mask, counts), problems = bench.twice(
        [((tokens, words), torch.int32), ((experts,), torch.int32)],
        lambda mask, counts: bench.call("routing_mask", mask, counts, layer.gates, tokens, experts))
    (made,), more = bench.twice(
        [(layer.plan.shape, torch.int32)],
        lambda out: bench.call("dispatch_plan", out, mask, tokens, experts, layer.capacity))
    errors = Errors(problems + more)
    errors.equal("counts", counts, layer.active.sum(0).to(torch.int32))
    errors.equal("plan", made, layer.plan)
    return errors.result()


def check_attention(bench, sizes):
    """Causal grouped-query attention, forward and gradient."""
    import torch

    from torch_side import DTYPES, TORCH, Errors

    batch, sequence = sizes.batch, sizes.sequence
    for dtype in ("bf16", "f32"):
        for heads, groups, head in sizes.heads:
            stride = (heads + 2 * groups) * head
            rows = batch * sequence
            qkv = bench.normal(rows, stride, dtype=dtype)
            dout = bench.normal(rows, heads * head, dtype=dtype)
            k_at, v_at = heads * head, (heads + groups) * head
            shape = (batch, sequence, heads, groups, head, stride)
            label = f"{dtype} {batch} x {sequence}, {heads} heads, {groups} groups of {head}"
            kept = {}

            def parts(tensor):
                return tensor[:, 0:], tensor[:, k_at:], tensor[:, v_at:]

            def forward_body():
                (out, normalizer), problems = bench.twice(
                    [((rows, heads * head), TORCH[dtype]), ((rows, heads, 2), torch.float32)],
                    lambda out, normalizer: bench.call(
                        "attention_forward", DTYPES[dtype], out, normalizer, *parts(qkv), *shape))
                exact, normal, _ = attended(qkv, None, shape, dtype)
                errors = Errors(problems)
                bf16 = dtype == "bf16"
                by_head = (rows, heads, head)
                errors.near("out", out.view(by_head), exact.view(by_head),
                            *((4e-3, 3e-2) if bf16 else (4e-6, 1e-4)), by_row=True)
                log = normalizer[..., 0].double() + normalizer[..., 1].double().log()
                errors.near("log-sum-exp", log, normal, *((3e-3, 2e-2) if bf16 else (1e-6, 1e-5)))
                kept.update(out=out, normalizer=normalizer)
                return errors.result()

            def gradient_body():
                def call(dqkv):
                    bench.call("attention_gradient", DTYPES[dtype], *parts(dqkv), dout, kept["out"],
                               kept["normalizer"], *parts(qkv), *shape)

                (dqkv,), problems = bench.twice([((rows, stride), TORCH[dtype])], call)
                _, _, exact = attended(qkv, dout, shape, dtype)
                errors = Errors(problems)
                limits = (8e-3, 8e-2) if dtype == "bf16" else (1e-5, 2e-4)
                ends = (0, k_at, v_at, stride)
                for name, start, end in zip(("dq", "dk", "dv"), ends, ends[1:]):
                    errors.near(name, dqkv[:, start:end], exact[:, start:end], *limits)
                return errors.result()

            bench.check(f"attention_forward {label}", ["attention_forward"], forward_body)
            if kept:
                bench.check(f"attention_gradient {label}", ["attention_gradient"], gradient_body)


def attended(qkv, dout, shape, dtype):
    """Attention, its log-sum-exp and, given dout, its gradient, in fp64, sequence by sequence."""
    import torch

    from torch_side import rounded

    batch, sequence, heads, groups, head, stride = shape
    future = torch.ones(sequence, sequence, dtype=torch.bool).triu(1)
    outs, logs, gradients = [], [], []
    for b in range(batch):
        x = qkv[b * sequence : (b + 1) * sequence].double()
        if dout is not None:
            x.requires_grad_()
        split = x.view(sequence, heads + 2 * groups, head).transpose(0, 1)
        q, k, v = split.split((heads, groups, groups))
        scaled = q / math.sqrt(head)
        if dout is None:
            scaled = rounded(scaled, dtype)
        k = k.repeat_interleave(heads // groups, 0)
        v = v.repeat_interleave(heads // groups, 0)
        scores = (scaled @ k.transpose(1, 2)).masked_fill(future, -math.inf)
        out = (scores.softmax(-1) @ v).transpose(0, 1).reshape(sequence, heads * head)
        outs.append(out.detach())
        logs.append(scores.detach().logsumexp(-1).t())
        if dout is not None:
            out.backward(dout[b * sequence : (b + 1) * sequence].double())
            gradients.append(x.grad)
    return torch.cat(outs), torch.cat(logs), torch.cat(gradients) if gradients else None


def check_cross_entropy(bench, sizes):
    """The fused output head, with logits kept and recomputed; a tenth of the targets ignored."""
    import torch

    from torch_side import DTYPES, TORCH, Errors

    hidden, vocabulary = sizes.hidden, sizes.vocabulary
    for dtype in ("bf16", "f32"):
        tokens = sizes.tokens if dtype == "bf16" else max(64, sizes.tokens // 8)
        x = bench.normal(tokens, hidden, dtype=dtype)
        w = bench.normal(hidden, vocabulary, scale=hidden**-0.5, dtype=dtype)
        targets = bench.integers(vocabulary, tokens)
        targets[bench.uniform(tokens) < 0.1] = -1
        share = torch.tensor([0.25])
        known = {}

        def exact():
            if known:
                return known
            # In slices: all logits in fp64 take 6.6 GB, and autograd several times that.
            keep = targets >= 0
            count = int(keep.sum())
            losses = torch.zeros(tokens, dtype=torch.float64)
            dx = torch.zeros(tokens, hidden, dtype=torch.float64)
            dw = torch.zeros(hidden, vocabulary, dtype=torch.float64)
            wide = w.double()
            for start in range(0, tokens, 2048):
                part = slice(start, start + 2048)
                z = x[part].double() @ wide
                log = z.logsumexp(-1)
                target = targets[part].long().clamp_min(0)[:, None]
                losses[part] = torch.where(keep[part], log - z.gather(1, target)[:, 0], 0.0)
                dz = (z - log[:, None]).exp_()
                dz.scatter_add_(1, target, torch.full_like(dz[:, :1], -1.0))
                dz *= (keep[part].double() * (share.double() / count))[:, None]
                dx[part] = dz @ wide.t()
                dw += x[part].double().t() @ dz
            known.update(losses=losses, count=count, dx=dx, dw=dw)
            return known

        for keeps in (True, False):
            label = f"{dtype} T={tokens} D={hidden} V={vocabulary} logits " \
                    f"{'kept' if keeps else 'recomputed'}"
            saved = {}

            def forward_body():
                outputs = [((2,), torch.float32), ((tokens,), torch.float32),
                           ((tokens, 2), torch.float32)]
                outputs += [((tokens, vocabulary), TORCH[dtype])] if keeps else []
                (loss, each, normalizer, *kept), problems = bench.twice(
                    outputs,
                    lambda loss, each, normalizer, *kept: bench.call(
                        "cross_entropy_forward", DTYPES[dtype], loss, each, normalizer,
                        kept[0] if kept else None, x, w, targets, tokens, hidden, vocabulary,
                        vocabulary))
                errors = Errors(problems)
                truth = exact()
                errors.near("token_loss", each, truth["losses"], 2e-6, 2e-5)
                mean = truth["losses"].sum() / truth["count"]
                errors.near("loss", loss, torch.stack([mean, mean * 0 + truth["count"]]), 1e-6, 1e-5)
                saved.update(loss=loss, normalizer=normalizer, logits=kept[0] if kept else None)
                return errors.result()

            def gradient_body():
                kept = saved["logits"]

                def call(dx, dw):
                    copy = None if kept is None else kept.clone()
                    bench.wait()
                    bench.call("cross_entropy_gradient", DTYPES[dtype], dx, dw, share,
                               saved["loss"], saved["normalizer"], copy, x, w, targets, tokens,
                               hidden, vocabulary, vocabulary, 0)
                    bench.library.call("synchronize")

                (dx, dw), problems = bench.twice(
                    [((tokens, hidden), TORCH[dtype]), ((hidden, vocabulary), torch.float32)], call)
                errors = Errors(problems)
                truth = exact()
                bf16 = dtype == "bf16"
                errors.near("dx", dx, truth["dx"], *((6e-3, 4e-2) if bf16 else (2e-5, 3e-4)))
                errors.near("dw", dw, truth["dw"], *((6e-3, 4e-2) if bf16 else (2e-5, 3e-4)))
                return errors.result()

            bench.check(f"cross_entropy_forward {label}", ["cross_entropy_forward"], forward_body)
            if saved:
                bench.check(f"cross_entropy_gradient {label}", ["cross_entropy_gradient"],
                            gradient_body)


def check_norm(bench, sizes):
    """RMSNorm."""
    import torch

    from torch_side import DTYPES, TORCH, Errors

    rows, columns, epsilon = sizes.tokens, sizes.hidden, 1e-5
    for dtype in ("bf16", "f32"):
        x, dy = (bench.normal(rows, columns, dtype=dtype) for _ in range(2))
        weight = bench.uniform(columns) + 0.5
        bf16 = dtype == "bf16"
        inner = (x.double().square().mean(1) + epsilon).rsqrt()
        saved = {}

        def forward_body():
            (y, inverse), problems = bench.twice(
                [((rows, columns), TORCH[dtype]), ((rows,), torch.float32)],
                lambda y, inverse: bench.call("rms_norm_forward", DTYPES[dtype], y, inverse, x,
                                              weight, rows, columns, epsilon))
            errors = Errors(problems)
            exact = x.double() * weight.double() * inner[:, None]
            errors.near("y", y, exact, *((2e-3, 6e-3) if bf16 else (3e-7, 3e-6)))
            errors.near("inverse", inverse, inner, 3e-7, 3e-6)
            saved["inverse"] = inverse
            return errors.result()

        def gradient_body():
            (dx, dweight), problems = bench.twice(
                [((rows, columns), TORCH[dtype]), ((columns,), torch.float32)],
                lambda dx, dweight: bench.call(
                    "rms_norm_gradient", DTYPES[dtype], dx, dweight, dy, saved["inverse"], x,
                    weight, rows, columns, 0))
            errors = Errors(problems)
            unit = x.double() * inner[:, None]
            scaled = dy.double() * weight.double()
            exact = inner[:, None] * (scaled - unit * (scaled * unit).mean(1, keepdim=True))
            errors.near("dx", dx, exact, *((2e-3, 6e-3) if bf16 else (5e-7, 1e-5)))
            errors.near("dweight", dweight, (dy.double() * unit).sum(0), 1e-5, 1e-4)
            return errors.result()

        label = f"{dtype} {rows} x {columns}"
        bench.check(f"rms_norm_forward {label}", ["rms_norm_forward"], forward_body)
        if saved:
            bench.check(f"rms_norm_gradient {label}", ["rms_norm_gradient"], gradient_body)


def check_embedding(bench, sizes):
    """Lookup and its gradient; a third of the tokens are the same one."""
    import torch

    from torch_side import DTYPES, TORCH, Errors

    count, hidden, vocabulary = sizes.tokens, sizes.hidden, sizes.vocabulary
    ids = bench.integers(vocabulary, count)
    ids[::3] = 7
    for dtype in ("bf16", "f32"):
        table = bench.normal(vocabulary, hidden, dtype=dtype)
        dy = bench.normal(count, hidden, dtype=dtype)

        def forward_body():
            (y,), problems = bench.twice(
                [((count, hidden), TORCH[dtype])],
                lambda y: bench.call("embedding_forward", DTYPES[dtype], y, table, ids, count,
                                     hidden, vocabulary))
            errors = Errors(problems)
            errors.equal("y", y, table[ids.long()])
            return errors.result()

        def gradient_body():
            before = bench.normal(vocabulary, hidden)
            exact = torch.zeros(vocabulary, hidden, dtype=torch.float64)
            exact.index_add_(0, ids.long(), dy.double())
            errors = Errors([])
            for mask in (0, 1):
                (dtable,), problems = bench.twice(
                    [((vocabulary, hidden), torch.float32)],
                    lambda out: bench.call("embedding_gradient", DTYPES[dtype], out, dy, ids, count,
                                           hidden, vocabulary, mask),
                    before=[before] if mask else ())
                errors.problems += problems
                truth = exact + before.double() if mask else exact
                errors.near("added" if mask else "dtable", dtable, truth, 3e-5, 2e-3)
            return errors.result()

        label = f"{dtype} {count} of V={vocabulary} D={hidden}"
        bench.check(f"embedding_forward {label}", ["embedding_forward"], forward_body)
        bench.check(f"embedding_gradient {label}", ["embedding_gradient"], gradient_body)


def check_optimizer(bench, sizes):
    """The gradients' norm and AdamW over tensors of several sizes, three steps."""
    import torch

    from torch_side import Errors

    lr, beta1, beta2, epsilon, decay, clip = 1e-3, 0.9, 0.999, 1e-8, 0.01, 1.0

    def body():
        masters = [bench.normal(n, scale=0.02) for n in sizes.parameters]
        moments = [[torch.zeros(n) for n in sizes.parameters] for _ in range(2)]
        copies = [torch.zeros(n, dtype=torch.bfloat16) for n in sizes.parameters]
        exact = [[m.double() for m in masters], *([torch.zeros(n, dtype=torch.float64)
                                                   for n in sizes.parameters] for _ in range(2))]
        state = torch.zeros(32, dtype=torch.float64)
        errors = Errors([])
        for step in (1, 2, 3):
            gradients = [bench.normal(n, scale=0.01) for n in sizes.parameters]
            rows = [[address.data_ptr() for address in each] + [n, int(i == 0), 0]
                    for i, (n, each) in enumerate(zip(sizes.parameters, zip(
                        masters, gradients, *moments, copies)))]
            table = torch.tensor(rows, dtype=torch.int64)
            corrections = (1 - beta1**step, 1 - beta2**step)
            state[:4] = torch.tensor([lr, *corrections, step], dtype=torch.float64)
            bench.run("gradient_norm", state, table, len(rows), clip)
            bench.run("adamw", state, table, len(rows), beta1, beta2, epsilon, decay)
            norm = sum(g.double().square().sum() for g in gradients).sqrt()
            errors.near("norm", state[11:12], norm[None], 1e-9, 1e-9)
            scale = (clip / (norm + 1e-6)).clamp_max(1)
            errors.near("scale", state[12:13], scale[None], 1e-9, 1e-9)
            for i, gradient in enumerate(gradients):
                w, m, v = (each[i] for each in exact)
                g = gradient.double() * scale
                m.mul_(beta1).add_((1 - beta1) * g)
                v.mul_(beta2).add_((1 - beta2) * g * g)
                w.sub_(lr * (m / corrections[0] / ((v / corrections[1]).sqrt() + epsilon)
                             + (decay if i == 0 else 0) * w))
        for i, (master, copy) in enumerate(zip(masters, copies)):
            errors.near(f"weights {i}", master, exact[0][i], 1e-6, 1e-4)
            errors.equal(f"copy {i}", copy, master.to(torch.bfloat16))
            errors.near(f"v {i}", moments[1][i], exact[2][i], 1e-6, 1e-5)
        return errors.result()

    bench.check(f"gradient_norm and adamw {sizes.parameters}", ["gradient_norm", "adamw"], body)


def check_routers(bench, sizes):
    """TopK and sigmoid: choices where logits are apart, gates, sums, and their gradients."""
    import torch

    from torch_side import DTYPES, Errors

    tokens, hidden = sizes.tokens, sizes.hidden
    for dtype in ("bf16", "f32"):
        for experts in sizes.experts:
            active = min(2, experts)
            x = bench.normal(tokens, hidden, dtype=dtype)
            w = bench.normal(hidden, experts, scale=hidden**-0.5)
            dgates = bench.normal(tokens, experts)
            logits = x.double() @ w.double()
            words = (experts + 31) // 32
            f32, i32 = torch.float32, torch.int32
            label = f"{dtype} T={tokens} D={hidden} E={experts} k={active}"

            def topk_body():
                shapes = [((tokens, experts), f32), ((tokens, experts), f32),
                          ((tokens, words), i32), ((experts,), i32), ((experts,), f32),
                          ((tokens,), f32), ((1,), f32)]
                outputs, problems = bench.twice(shapes, lambda *out: bench.call(
                    "topk_router_forward", DTYPES[dtype], *out, x, w, tokens, hidden, experts,
                    active, 0))
                gates, p, mask, counts, sums, normalizer, z_sum = outputs
                errors = Errors(problems)
                exact = logits.softmax(-1)
                log = logits.logsumexp(-1)
                errors.near("p", p, exact, 1e-5, 2e-4)
                errors.near("log-sum-exp", normalizer, log, 5e-6, 5e-5)
                errors.near("sums", sums, exact.sum(0), 1e-5, 1e-4)
                errors.near("z", z_sum, log.square().sum()[None], 1e-5, 1e-5)
                routed = unpacked(mask, experts)
                errors.equal("mask", routed, largest(p, active))
                errors.equal("gates", gates, torch.where(routed, p, torch.zeros(())))
                errors.equal("counts", counts, routed.sum(0).to(i32))
                if not bool((routed.sum(1) == active).all()):
                    errors.problems.append("not k experts a token")
                (dlogits,), more = bench.twice([((tokens, experts), f32)], lambda out: bench.call(
                    "topk_router_gradient", out, dgates, gates, mask, p, normalizer, counts, 1e-3,
                    1e-4, tokens, experts, active, 0))
                errors.problems += more
                dp = torch.where(routed, dgates.double(), 0.0)
                dp += 1e-3 * experts * counts.double() / (active * tokens)
                exact_gradient = exact * (dp - (dp * exact).sum(1, keepdim=True)
                                          + 2e-4 * log[:, None])
                errors.near("dlogits", dlogits, exact_gradient, 1e-5, 2e-4)
                return errors.result()

            bench.check(f"topk_router {label}", ["topk_router_forward", "topk_router_gradient"],
                        topk_body)


def unpacked(mask, experts):
    """The routed pairs of a mask."""
    import torch

    bits = torch.arange(experts)
    return (mask[:, bits // 32].long() >> (bits % 32) & 1).bool()


def largest(values, active):
    """The pairs of the largest values; ties go to the lower expert."""
    import torch

    order = values.sort(dim=1, descending=True, stable=True).indices[:, :active]
    return torch.zeros_like(values, dtype=torch.bool).scatter(1, order, True)


def check_rope(bench, sizes):
    """Rotary embedding, in place on some of a row's heads."""
    import torch

    from torch_side import DTYPES, TORCH, Errors

    batch, sequence = sizes.batch, sizes.sequence
    heads, groups, head = sizes.heads[0]
    stride, turned, rows = (heads + 2 * groups) * head, heads + groups, batch * sequence
    for dtype in ("bf16", "f32"):
        x = bench.normal(rows, stride, dtype=dtype)

        def body():
            (y,), problems = bench.twice(
                [((rows, stride), TORCH[dtype])],
                lambda out: bench.call("rope", DTYPES[dtype], out, rows, stride, sequence, turned,
                                       head, 1e6, 0, 0),
                before=[x])
            half = head // 2
            position = (torch.arange(rows) % sequence).double()
            angle = torch.outer(position, 1e6 ** (-torch.arange(half).double() / half))
            cosine, sine = angle.cos()[:, None], angle.sin()[:, None]
            first, second = x.double().view(rows, -1, head)[:, :turned].chunk(2, 2)
            exact = torch.cat([first * cosine - second * sine, second * cosine + first * sine], 2)
            errors = Errors(problems)
            made = y.view(rows, -1, head)
            errors.near("x", made[:, :turned], exact,
                        *((2e-3, 6e-3) if dtype == "bf16" else (1e-6, 2e-5)))
            errors.equal("the other heads", made[:, turned:], x.view(rows, -1, head)[:, turned:])
            return errors.result()

        bench.check(f"rope {dtype} {rows} x {stride}", ["rope"], body)


CHECKS = {
    "gemm": check_gemm, "experts": check_experts, "attention": check_attention,
    "cross entropy": check_cross_entropy, "norm": check_norm, "embedding": check_embedding,
    "optimizer": check_optimizer, "routers": check_routers, "rope": check_rope}


def main():
    """Checks the families; the exit status says whether all held."""
    small, wanted = choices(__doc__, CHECKS)
    torch, reason = torch_or_reason()
    if torch is None:
        print(f"skipped: no PyTorch: {reason}")
        return
    from torch_side import Bench

    bench = Bench()
    for family in wanted:
        CHECKS[family](bench, SMALL if small else LARGE)
    print(f"{len(bench.failures)} failed; {len(bench.lacking)} lacking or declined")
    raise SystemExit(1 if bench.failures else 0)


if __name__ == "__main__":
    main()
