#!/usr/bin/env python3
"""The grouped-product engine with its tiles leaving through the ring, beside before's, on a Hopper GPU: run.py [--limit SECONDS] [--out FOLDER] [--only step,step]; one: a few launches, for ncu."""

import ctypes, json, mmap, os, re, shutil, signal, struct, subprocess, sys, time, traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
START = time.time()
from small import BackwardCall, Call, load, UP, DOWN, DACT, DX, DW1, DW2, ROWS, DGATE, COMBINE

NAMES = {
    UP: "up + SwiGLU",
    DOWN: "down",
    DACT: "dA' + dSwiGLU",
    DX: "dX rows",
    DW1: "dW1",
    DW2: "dW2",
    ROWS: "row gates",
    DGATE: "gate gradient",
    COMBINE: "combine",
}
PRODUCTS = (UP, DOWN, DACT, DX, DW1, DW2)


class Call2(ctypes.Structure):  # before's
    _fields_ = [
        (n, ctypes.c_uint64)
        for n in "plan out out2 a b h row_gate row_pair gates dgates partial stream".split()
    ] + [
        (n, ctypes.c_int32)
        for n in "tokens capacity hidden width experts blocks cluster skew accumulate".split()
    ]


torch = None
DEV = os.environ.get("NOW_DEVICE", "cuda")  # cpu: the emulator, to test this script


def library():
    lib = load(
        os.path.join(HERE, "emulate/emulate.so")
        if DEV == "cpu"
        else os.environ.get("TENSOR_CORES_SO", os.path.join(HERE, "tensor_cores.so"))
    )
    lib.tensor_cores_flash.argtypes = (
        [ctypes.c_uint64] * 5 + [ctypes.c_int32] * 8 + [ctypes.c_uint64]
    )
    return lib


def former():
    """before's library, or None."""
    path = os.path.join(HERE, "before.so")
    if DEV == "cpu" or not os.path.exists(path):
        return None
    lib = ctypes.CDLL(path)
    lib.before_run.argtypes = [ctypes.c_int32, ctypes.POINTER(Call2)]
    lib.before_error.restype = ctypes.c_char_p
    return lib


def blocks():
    return 4 if DEV == "cpu" else torch.cuda.get_device_properties(0).multi_processor_count


def stream():
    return 0 if DEV == "cpu" else torch.cuda.current_stream().cuda_stream


class Child:
    def __init__(self, log, results, progress):
        self.log, self.results, self.progress = log, results, progress

    def say(self, line=""):
        self.log.write(line + "\n")
        self.log.flush()
        print(line, flush=True)

    def result(self, **kw):
        self.results.write(json.dumps(kw) + "\n")
        self.results.flush()

    def at(self, index):
        self.progress[0:4] = struct.pack("i", index)


def sync():
    if DEV != "cpu":
        torch.cuda.synchronize()


def median_ms(fn, n=20, warm=3):
    if DEV == "cpu":
        t = time.time()
        fn()
        return 1e3 * (time.time() - t)
    for _ in range(warm):
        fn()
    sync()
    times = []
    for _ in range(n):
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        a.record()
        fn()
        b.record()
        times.append((a, b))
    sync()
    t = sorted(a.elapsed_time(b) for a, b in times)
    return t[len(t) // 2]


FATAL = (
    "illegal",
    "launch failure",
    "misaligned",
    "trap",
    "unspecified",
    "device-side",
    "unknown error",
    "invalid program counter",
)


def attempt(c, label, fn):
    try:
        return fn()
    except Exception as e:
        c.say(f"- {label}: {type(e).__name__} {str(e).splitlines()[0][:200] if str(e) else ''}")
        if any(w in str(e) for w in FATAL):
            raise
        return None


# ---------------------------------------------------------------- a layer
class Layer:
    """T tokens, d x W experts. routing: "even" or "random" one expert a token, a number k of random experts, or a share of active pairs."""

    def __init__(self, T, d, W, E, routing, seed=0, spare=0, tensors="all"):
        self.T, self.d, self.W, self.E = T, d, W, E
        gen = torch.Generator(device=DEV)
        gen.manual_seed(seed)
        D = dict(device=DEV)
        if routing == "even":
            active = torch.nn.functional.one_hot(torch.arange(T, **D) % E, E).bool()
        elif routing == "random":
            active = torch.nn.functional.one_hot(
                torch.randint(0, E, (T,), generator=gen, **D), E
            ).bool()
        elif isinstance(routing, int):
            active = torch.zeros(T, E, dtype=torch.bool, **D).scatter_(
                1, torch.rand(T, E, generator=gen, **D).topk(routing, 1).indices, True
            )
        else:
            active = torch.rand(T, E, generator=gen, **D) < routing
            if E >= 3:
                active[:, 1] = False
                active[:, 0] |= (
                    torch.rand(T, generator=gen, **D) < 0.5
                )  # an empty expert and a full one
        self.active = active
        e, t = active.t().nonzero(as_tuple=True)
        self.token, self.expert, self.N = t, e, len(t)
        N = self.N
        self.C = C = max(N + spare, 1)
        zero = torch.zeros(1, dtype=torch.int64, **D)
        offset = torch.cat([zero, active.sum(0).cumsum(0)])
        toff = torch.cat([zero, active.sum(1).cumsum(0)])
        rows = torch.full((T, E), -1, dtype=torch.int64, **D)
        rows[t, e] = torch.arange(N, **D)
        junk = torch.full((C - N,), 2**30, dtype=torch.int64, **D)
        self.plan = (
            torch.cat(
                [torch.tensor([N, 0, 0, C], **D), offset, toff, t, junk, rows[rows >= 0], junk]
            )
            .int()
            .contiguous()
        )
        self.offset = offset.int()
        self.spans = offset.tolist()
        rnd = lambda *s: torch.empty(*s, dtype=torch.bfloat16, **D).normal_(0, 1, generator=gen)
        self.x, self.dy = rnd(T, d), rnd(T, d)
        self.w1, self.w2 = rnd(E, d, 2 * W).mul_(d**-0.5), rnd(E, W, d).mul_(W**-0.5)
        self.gates = torch.where(
            active, torch.rand(T, E, generator=gen, **D) + 0.1, torch.zeros((), **D)
        )
        self.h, self.a, self.dh, self.y = (
            rnd(C, 2 * W),
            rnd(C, W),
            rnd(C, 2 * W),
            rnd(C, d),
        )  # inputs of single products
        for v in (self.h, self.a, self.dh, self.y):
            v[N:] = float("nan")
        self.row_gate = torch.full((C,), float("nan"), **D)
        self.row_pair = torch.full((C,), -7, dtype=torch.int32, **D)
        self.partial = torch.full((C, (W + 255) // 256), float("nan"), **D)
        self.dgates = torch.full((T, E), float("nan"), **D)
        self.blocks = blocks()

    def run(
        self,
        lib,
        what,
        out=None,
        a=None,
        b=None,
        h=None,
        out2=None,
        accumulate=0,
        gated=True,
        skew=0,
    ):
        p = lambda t: 0 if t is None else t.data_ptr()
        old = hasattr(lib, "before_run")
        c = (Call2 if old else Call)(
            tokens=self.T,
            capacity=self.C,
            hidden=self.d,
            width=self.W,
            experts=self.E,
            blocks=self.blocks,
            accumulate=accumulate,
            skew=0 if old else skew,
            plan=p(self.plan),
            gates=p(self.gates),
            row_gate=p(self.row_gate) if gated else 0,
            row_pair=p(self.row_pair),
            partial=p(self.partial),
            dgates=p(self.dgates),
            out=p(out),
            out2=p(out2),
            a=p(a),
            b=p(b),
            h=p(h),
            stream=stream(),
        )
        if old:
            c.cluster = 1
            if what == DW2:
                c.a, c.b = c.b, c.a
        code = (lib.before_run if old else lib.tensor_cores_run)(what, ctypes.byref(c))
        if code:
            raise RuntimeError(
                f"{NAMES[what]}: {code} {(lib.before_error if old else lib.tensor_cores_error)(code).decode()}"
            )

    def shapes(self, what):
        C, d, W, E, f, b = self.C, self.d, self.W, self.E, torch.float32, torch.bfloat16
        return {
            UP: [((C, W), b), ((C, 2 * W), b)],
            DOWN: [((C, d), b)],
            DACT: [((C, 2 * W), b), ((C, W), b)],
            DX: [((C, d), b)],
            DW1: [((E, d, 2 * W), f)],
            DW2: [((E, W, d), f)],
            COMBINE: [((self.T, d), b)],
        }[what]

    def product(self, lib, what, outs, accumulate=0, skew=0):
        o = outs[0]
        o2 = outs[1] if len(outs) > 1 else None
        inputs = {
            UP: dict(a=self.x, b=self.w1),
            DOWN: dict(a=self.a, b=self.w2),
            DACT: dict(a=self.dy, b=self.w2, h=self.h),
            DX: dict(a=self.dh, b=self.w1),
            DW1: dict(a=self.x, b=self.dh),
            DW2: dict(a=self.a, b=self.dy),
            COMBINE: dict(a=self.y),
        }[what]
        self.run(lib, what, out=o, out2=o2, accumulate=accumulate, skew=skew, **inputs)

    def flops(self, what):
        return (
            {UP: 4.0, DOWN: 2.0, DACT: 2.0, DX: 4.0, DW1: 4.0, DW2: 2.0}[what]
            * self.N
            * self.d
            * self.W
        )

    def reference(self, what):
        """fp32, the outputs in order; for DACT also dgate of the rows."""
        N, d, W, E, s = self.N, self.d, self.W, self.E, self.spans
        tok = self.token
        F = torch.nn.functional

        def rows(width, left, right):
            r = torch.empty(N, width, device=DEV)
            for e in range(E):
                if s[e + 1] > s[e]:
                    r[s[e] : s[e + 1]] = left(slice(s[e], s[e + 1])).float() @ right(e).float()
            return r

        if what == UP:
            h = rows(2 * W, lambda r: self.x[tok[r]], lambda e: self.w1[e])
            return [F.silu(h[:, :W]) * h[:, W:], h]
        if what == DOWN:
            return [rows(d, lambda r: self.a[r], lambda e: self.w2[e])]
        if what == DX:
            return [rows(d, lambda r: self.dh[r], lambda e: self.w1[e].t())]
        if what == DACT:
            dap = rows(W, lambda r: self.dy[tok[r]], lambda e: self.w2[e].t())
            g = self.gates[tok, self.expert][:, None]
            gt, up = self.h[:N, :W].float(), self.h[:N, W:].float()
            sig = gt.sigmoid()
            a = gt * sig * up
            da = dap * g
            dg = (dap.double() * a.double()).sum(1).float()
            return [torch.cat([da * up * sig * (1 + gt * (1 - sig)), da * gt * sig], 1), a * g, dg]
        if what == COMBINE:
            return [
                torch.zeros(self.T, d, device=DEV).index_add_(
                    0, tok, self.y[:N].float() * self.gates[tok, self.expert][:, None]
                )
            ]
        r = torch.zeros(E, *((d, 2 * W) if what == DW1 else (W, d)), device=DEV)
        for e in range(E):
            if s[e + 1] > s[e]:
                q = slice(s[e], s[e + 1])
                r[e] = (
                    self.x[tok[q]].float().t() @ self.dh[q].float()
                    if what == DW1
                    else self.a[q].float().t() @ self.dy[tok[q]].float()
                )
        return [r]


def guarded(shape, dtype):
    n = 1
    for v in shape:
        n *= v
    raw = torch.full((n + 4096,), float("nan"), device=DEV, dtype=dtype)
    bits = torch.int16 if dtype == torch.bfloat16 else torch.int32
    raw.view(bits).fill_(-1)
    return raw, raw[:n].view(shape)


def as_bits(t):
    return t.view(torch.int16 if t.dtype == torch.bfloat16 else torch.int32)


def compare(out, ref):  # relative in the norm; the worst element over |ref| + rms
    if ref.numel() == 0:
        return (0.0, 0.0)
    diff = (out.float() - ref).abs()
    rms = ref.pow(2).mean().sqrt()
    if rms.item() == 0:
        return (diff.max().item(), diff.max().item())
    return ((diff.pow(2).mean().sqrt() / rms).item(), (diff / (ref.abs() + rms)).max().item())


# ---------------------------------------------------------------- steps
CORRECT = [
    (5, 8, 8, 1, 1.0, 0),
    (77, 24, 40, 3, 0.4, 9),
    (300, 72, 88, 5, 0.4, 0),
    (257, 136, 264, 7, 0.4, 500),
    (1000, 200, 392, 12, 0.2, 3),
    (2000, 768, 3072, 8, 0.15, 77),
    (16384, 768, 3072, 8, "random", 0),
    (16384, 768, 384, 64, 8, 100),
    (16384, 768, 3072, 128, "random", 0),
    (16384, 1536, 6144, 8, "random", 0),
]


def step_correct(c, items, first):
    lib = library()
    torch.backends.cuda.matmul.allow_tf32 = False
    layers = {}
    for index in range(first, len(items)):
        what, skew = items[index]
        c.at(index)
        cells, good = [], True
        begin = time.time()
        for s, (T, d, W, E, routing, spare) in enumerate(CORRECT):
            if s not in layers:
                layers[s] = Layer(T, d, W, E, routing, s, spare)
                layers[s].run(lib, ROWS)
                sync()
                L = layers[s]
                if not torch.equal(L.row_gate[: L.N], L.gates[L.token, L.expert]):
                    c.say(f"- row gates WRONG at {T}x{d}x{W}")
            L = layers[s]
            ref = L.reference(what)
            limit = (5e-5, 5e-4) if what in (DW1, DW2) else (4e-3, 0.02)
            outs = [guarded(*sh) for sh in L.shapes(what)]
            L.dgates.fill_(float("nan"))
            L.partial.fill_(float("nan"))
            L.product(lib, what, [o for _, o in outs], skew=skew)
            sync()
            notes = []
            ok = True
            for (raw, o), r in zip(outs, ref):
                n = r.shape[0]
                e = compare(o[:n], r)
                tail = bool((as_bits(raw)[r.numel() :] == -1).all())
                ok = ok and tail and e[0] < limit[0] and e[1] < limit[1]
                notes.append(f"{e[0]:.1e} (max {e[1]:.1e}){'' if tail else ' TAIL WRITTEN'}")
            if what == DACT:
                L.run(lib, DGATE)
                sync()
                e = compare(L.dgates[L.token, L.expert], ref[2])
                rest = bool(L.dgates[~L.active].isnan().all())
                ok = ok and e[0] < 1e-4 and rest
                notes.append(f"dgate {e[0]:.1e}{'' if rest else ' INACTIVE WRITTEN'}")
            if L.N >= REPEAT_FROM:
                bad = 0
                again = [guarded(*sh) for sh in L.shapes(what)]
                runs = 1 if DEV == "cpu" else 4 if what in (DW1, DW2) else 8
                for _ in range(runs):
                    for raw, _o in again:
                        as_bits(raw).fill_(-1)
                    L.product(lib, what, [o for _, o in again], skew=skew)
                    bad += (
                        0
                        if all(
                            torch.equal(as_bits(x[0]), as_bits(y[0])) for x, y in zip(again, outs)
                        )
                        else 1
                    )
                ok = ok and bad == 0
                notes.append(f"{bad}/{runs} runs differ")
                del again
            if what in (DW1, DW2) and s < 6:
                base = torch.randn_like(outs[0][1])
                o = base.clone()
                L.product(lib, what, [o], 1, skew)
                sync()
                e = compare(o, base + ref[0])
                ok = ok and e[0] < 5e-5
                notes.append(f"accumulate {e[0]:.1e}")
            good = good and ok
            if not ok or s in (3, 6):
                cells.append(
                    f"{T}x{d}x{W} E{E} N{L.N}{''}: {', '.join(notes)} {'ok' if ok else 'WRONG'}"
                )
            del outs
            del ref
        c.say(
            f"- **{NAMES[what]}**, skew {skew}: {'ok' if good else 'WRONG'} ({len(CORRECT)} shapes, {time.time() - begin:.1f} s)"
        )
        [c.say("  - " + x) for x in cells]
        c.result(kind="correct", what=what, skew=skew, ok=good)


def run_layer(L, lib, o):
    """Forward and backward of the layer, chained."""
    L.run(lib, ROWS)
    L.run(lib, UP, out=o["a"], out2=o["h"], a=L.x, b=L.w1)
    L.run(lib, DOWN, out=o["y"], a=o["a"], b=L.w2)
    L.run(lib, COMBINE, out=o["o"], a=o["y"])
    L.run(lib, DACT, out=o["dh"], out2=o["a2"], a=L.dy, b=L.w2, h=o["h"])
    L.run(lib, DGATE)
    L.run(lib, DW2, out=o["dw2"], a=o["a2"], b=L.dy)
    L.run(lib, DX, out=o["y"], a=o["dh"], b=L.w1)
    L.run(lib, DW1, out=o["dw1"], a=L.x, b=o["dh"])
    L.run(lib, COMBINE, out=o["dx"], a=o["y"], gated=False)


def layer_outputs(L):
    b = lambda *s: torch.empty(*s, device=DEV, dtype=torch.bfloat16)
    f = lambda *s: torch.empty(*s, device=DEV)
    return dict(
        a=b(L.C, L.W),
        a2=b(L.C, L.W),
        h=b(L.C, 2 * L.W),
        dh=b(L.C, 2 * L.W),
        y=b(L.C, L.d),
        o=b(L.T, L.d),
        dx=b(L.T, L.d),
        dw1=f(L.E, L.d, 2 * L.W),
        dw2=f(L.E, L.W, L.d),
    )


CHAIN = (
    (257, 136, 264, 7, 0.4, 500),
    (4096, 768, 3072, 8, "random", 0),
    (4096, 768, 384, 64, 8, 0),
)


def step_chain(c):
    lib = library()
    torch.backends.cuda.matmul.allow_tf32 = False
    for T, d, W, E, routing, spare in CHAIN[:1] if DEV == "cpu" else CHAIN:
        L = Layer(T, d, W, E, routing, 5, spare)
        o = layer_outputs(L)
        x, w1, w2, g = (t.float().detach().requires_grad_() for t in (L.x, L.w1, L.w2, L.gates))
        out = torch.zeros(T, d, device=DEV)
        for e in range(E):
            t = L.token[L.spans[e] : L.spans[e + 1]]
            if len(t):
                h = x[t] @ w1[e]
                y = (torch.nn.functional.silu(h[:, :W]) * h[:, W:]) @ w2[e]
                out = out.index_add(0, t, y * g[t, e][:, None])
        out.backward(L.dy.float())
        run_layer(L, lib, o)
        sync()
        r = dict(
            O=compare(o["o"], out.detach())[0],
            dX=compare(o["dx"], x.grad)[0],
            dW1=compare(o["dw1"], w1.grad)[0],
            dW2=compare(o["dw2"], w2.grad)[0],
            dgates=compare(L.dgates[L.token, L.expert], g.grad[L.token, L.expert])[0],
        )
        ok = all(e < 1e-2 for e in r.values())
        c.say(
            f"- layer {T}x{d}x{W} E{E} N{L.N}, against autograd in fp32: "
            + ", ".join(f"{k} {e:.1e}" for k, e in r.items())
            + (" ok" if ok else " WRONG")
        )
        c.result(kind="chain", ok=ok)


def step_facts(c):
    p = torch.cuda.get_device_properties(0)
    c.say(
        f"- {p.name}, {p.multi_processor_count} multiprocessors, {p.total_memory / 2**30:.0f} GiB, torch {torch.__version__}"
    )
    a, b = (torch.randn(8192, 8192, device=DEV).bfloat16() for _ in range(2))
    o = torch.empty_like(a)
    ms = median_ms(lambda: torch.matmul(a, b, out=o))
    c.say(f"- 8192^3 bf16 torch.matmul: {ms:.3f} ms, {2 * 8192**3 / ms / 1e9:.0f} TFLOPS")
    c.result(kind="ceiling", tflops=2 * 8192**3 / ms / 1e9)
    z = torch.empty(1 << 30, device=DEV, dtype=torch.uint8)
    y = torch.empty_like(z)
    ms = median_ms(lambda: y.copy_(z))
    c.say(f"- copy of 1 GiB: {2 * z.numel() / ms / 1e9:.2f} TB/s read and written")


def dense_ms(L, what):
    N, d, W = L.N, L.d, L.W
    r = lambda *s: torch.randn(*s, device=DEV).bfloat16()
    a, b = {
        UP: lambda: (r(N, d), r(d, 2 * W)),
        DOWN: lambda: (r(N, W), r(W, d)),
        DACT: lambda: (r(N, d), r(W, d).t()),
        DX: lambda: (r(N, 2 * W), r(d, 2 * W).t()),
        DW1: lambda: (r(N, d).t(), r(N, 2 * W)),
        DW2: lambda: (r(N, W).t(), r(N, d)),
    }[what]()
    o = torch.empty(a.shape[0], b.shape[1], device=DEV, dtype=torch.bfloat16)
    return median_ms(lambda: torch.matmul(a, b, out=o))


def grouped_ms(c, L, what):
    if not hasattr(torch, "_grouped_mm"):
        return None
    N = L.N
    xs, dys = L.x[L.token], L.dy[L.token]
    offs = L.offset[1:].contiguous()
    a, b = {
        UP: (xs, L.w1),
        DOWN: (L.a[:N], L.w2),
        DACT: (dys, L.w2.transpose(1, 2)),
        DX: (L.dh[:N], L.w1.transpose(1, 2)),
        DW1: (xs.t(), L.dh[:N]),
        DW2: (L.a[:N].t(), dys),
    }[what]

    def one():
        fn = lambda: torch._grouped_mm(a, b, offs=offs, out_dtype=torch.bfloat16)
        fn()
        sync()
        return median_ms(fn)

    return attempt(c, f"grouped_mm {NAMES[what]}", one)


def torch_layer_ms(c, L):
    """Forward and backward in eager torch with grouped_mm; gates already chosen, rows known on the host."""
    W = L.W
    offs = L.offset[1:].contiguous()
    tok, ex = L.token, L.expert
    x, w1, w2, g = (t.detach().clone().requires_grad_() for t in (L.x, L.w1, L.w2, L.gates))

    def one():
        for t in (x, w1, w2, g):
            t.grad = None
        h = torch._grouped_mm(x[tok], w1, offs=offs)
        a = torch.nn.functional.silu(h[:, :W]) * h[:, W:]
        y = torch._grouped_mm(a, w2, offs=offs)
        out = torch.zeros(L.T, L.d, device=DEV, dtype=torch.bfloat16).index_add(
            0, tok, y * g[tok, ex][:, None].to(y.dtype)
        )
        out.backward(L.dy)

    return attempt(c, "torch layer", lambda: median_ms(one, 10, 2))


BENCH_T, REPEAT_FROM = 16384, 1500
BENCH = [
    (768, 3072, 8, "even"),
    (768, 3072, 8, "random"),
    (1536, 6144, 8, "random"),
    (768, 384, 64, 8),
    (768, 3072, 32, "random"),
    (768, 3072, 128, "random"),
]


def step_bench(c, allowed, configs, ceiling, first):
    """allowed: the products that were right."""
    lib, old = library(), former()
    T = BENCH_T
    dense = {}
    for index in range(first, len(configs)):
        c.at(index)
        d, W, E, routing = configs[index]
        L = Layer(T, d, W, E, routing, 3)
        L.run(lib, ROWS)
        N = L.N
        own, sums = {}, dict(own=0.0, old=0.0, dense=0.0, grouped=0.0)
        c.say(
            f"\n### d={d}, W={W}, E={E}, routing {routing}, N={N}, the fullest expert {max(y - x for x, y in zip(L.spans, L.spans[1:]))} rows\n\n| product | dense ms | TFLOPS | grouped_mm ms | before ms | now ms | with skew 1, 2 | adding ms | TFLOPS | over before | over dense | over grouped | TB/s at least |\n|"
            + " --- |" * 13
        )
        for what in PRODUCTS:
            if what not in allowed:
                continue
            key = (d, W, N, what)
            if key not in dense:
                dense[key] = attempt(c, "dense", lambda: dense_ms(L, what))
            dm, gm = dense[key], grouped_ms(c, L, what)
            fl = L.flops(what)
            outs = [torch.empty(*sh, device=DEV, dtype=t) for sh, t in L.shapes(what)]
            time_of = lambda x, skew=0: attempt(
                c, NAMES[what], lambda: median_ms(lambda: L.product(x, what, outs, skew=skew))
            )
            om = time_of(old) if old else None
            ms = time_of(lib)
            if old:
                om = min(om, time_of(old) or om) if om else om
                ms = min(ms, time_of(lib) or ms) if ms else ms
            if not ms:
                continue
            skewed = [time_of(lib, k) for k in (1, 2)]
            adding = (
                attempt(c, NAMES[what], lambda: median_ms(lambda: L.product(lib, what, outs, 1)))
                if what in (DW1, DW2)
                else None
            )
            own[what] = ms
            sums["own"] += ms
            sums["old"] += om or 0
            sums["dense"] += dm or 0
            sums["grouped"] += gm or float("nan")
            once = (
                sum(o.numel() * o.element_size() for o in outs)
                + 2.0
                * {
                    UP: T * d,
                    DOWN: N * W,
                    DACT: T * d + 2 * N * W,
                    DX: 2 * N * W,
                    DW1: T * d + 2 * N * W,
                    DW2: T * d + N * W,
                }[what]
                + (
                    2.0 * E * d * W * (2 if what in (UP, DX) else 1)
                    if what in (UP, DOWN, DACT, DX)
                    else 0
                )
            )
            del outs
            c.say(
                f"| {NAMES[what]} | {dm:.3f} | {fl / dm / 1e9:.0f} | "
                + (f"{gm:.3f}" if gm else "-")
                + " | "
                + (f"{om:.3f}" if om else "-")
                + f" | {ms:.3f} | "
                + ", ".join(f"{t:.3f}" if t else "-" for t in skewed)
                + (f" | {adding:.3f}" if adding else " | -")
                + f" | {fl / ms / 1e9:.0f} | "
                + (f"{om / ms:.2f}" if om else "-")
                + f" | {dm / ms:.2f} | "
                + (f"{gm / ms:.2f}" if gm else "-")
                + f" | {once / ms / 1e9:.2f} |"
            )
            c.result(
                kind="bench",
                d=d,
                W=W,
                E=E,
                routing=routing,
                what=what,
                dense=dm,
                grouped=gm,
                before=om,
                now=ms,
                skewed=skewed,
                adding=adding,
            )
        if len(own) < 6:
            continue
        o = layer_outputs(L)
        fl = 18.0 * N * d * W
        chain = median_ms(lambda: run_layer(L, lib, o))
        was = (
            attempt(c, "before layer", lambda: median_ms(lambda: run_layer(L, old, o)))
            if old
            else None
        )
        peer = torch_layer_ms(c, L)
        c.say(
            f"\nSix products {sums['own']:.3f} ms (before {sums['old']:.3f}, dense {sums['dense']:.3f}, grouped_mm {sums['grouped']:.3f}). **Layer forward and backward {chain:.3f} ms, {fl / chain / 1e9:.0f} TFLOPS, {fl / chain / 1e9 / ceiling:.2f} of 8192^3**; before {f'{was:.3f} ms, {fl / was / 1e9 / ceiling:.2f}' if was else '-'}; torch layer with grouped_mm {f'{peer:.3f} ms: ratio {peer / chain:.2f}' if peer else 'none'}"
        )
        c.result(
            kind="layer",
            d=d,
            W=W,
            E=E,
            routing=routing,
            chain=chain,
            before=was,
            products=sums["own"],
            dense=sums["dense"],
            grouped=sums["grouped"],
            torch=peer,
            share=fl / chain / 1e9 / ceiling,
        )
        del L, o
        DEV == "cpu" or torch.cuda.empty_cache()


def step_dense(c):
    """The engine with one expert as a plain product, weights [K, N] and [N, K]."""
    lib, old = library(), former()
    T = BENCH_T
    L = Layer(T, 8, 8, 1, "even")
    c.say(
        "\n### Plain products, one expert, T rows (weights [K, N] / [N, K])\n\n| K x N | torch ms | TFLOPS | before | now | over torch | torch [N, K] ms | before | now | over torch | differs |\n|"
        + " --- |" * 11
    )
    for K, n in (
        ((768, 2304), (768, 3072), (3072, 768), (1536, 6144), (768, 50304))
        if DEV != "cpu"
        else ((16, 24),)
    ):
        r = lambda *sh: torch.empty(*sh, device=DEV, dtype=torch.bfloat16).normal_()
        x, w, o = (
            r(T, K),
            r(K, n).mul_(K**-0.5),
            torch.empty(T, n, device=DEV, dtype=torch.bfloat16),
        )
        wt = w.t().contiguous()
        o2 = torch.empty_like(o)
        fl = 2.0 * T * K * n
        tm, tt = median_ms(lambda: torch.matmul(x, w, out=o)), median_ms(
            lambda: torch.matmul(x, wt.t(), out=o)
        )
        times, differs = [], 0.0
        for what, b in ((DOWN, w), (DX, wt)):
            L.d, L.W = n, K if what == DOWN else K // 2
            row = []
            for v in (old, lib):
                if v is None:
                    row.append(float("nan"))
                    continue
                o2.fill_(float("nan"))
                row.append(median_ms(lambda: L.run(v, what, out=o2, a=x, b=b)))
                differs = max(
                    differs,
                    (
                        compare(o2, o.float())[0]
                        if n < 10000
                        else compare(o2[:1024], o[:1024].float())[0]
                    ),
                )
            times.append(row)
        c.say(
            f"| {K} x {n} | {tm:.3f} | {fl / tm / 1e9:.0f} | {times[0][0]:.3f} | {times[0][1]:.3f} | {tm / times[0][1]:.2f} | {tt:.3f} | {times[1][0]:.3f} | {times[1][1]:.3f} | {tt / times[1][1]:.2f} | {differs:.1e} |"
        )
        c.result(kind="dense", K=K, N=n, torch=tm, torch_t=tt, times=times, differs=differs)
        del x, w, o, o2, wt


# ---------------------------------------------------------------- attention
FLASH_SHAPES = [
    (1, 1, 1, 1),
    (2, 7, 3, 1),
    (2, 65, 4, 2),
    (1, 130, 6, 3),
    (3, 257, 4, 4),
    (1, 640, 40, 8),
    (16, 1024, 12, 4),
]


def qkv(B, S, Hq, G, D, seed=0):
    gen = torch.Generator(device=DEV)
    gen.manual_seed(seed)
    return torch.randn(B, S, (Hq + 2 * G), D, device=DEV, generator=gen).bfloat16()


def launch_flash(lib, o, lse, x, Hq, G, turns):
    B, S, _, D = x.shape
    p = x.data_ptr()
    code = lib.tensor_cores_flash(
        o.data_ptr(),
        lse.data_ptr(),
        p,
        p + Hq * D * 2,
        p + (Hq + G) * D * 2,
        B,
        S,
        Hq,
        G,
        D,
        (Hq + 2 * G) * D,
        turns,
        blocks(),
        stream(),
    )
    if code:
        raise RuntimeError(f"flash: {code} {lib.tensor_cores_error(code).decode()}")


def step_flash(c, heads, first):
    lib = library()
    torch.backends.cuda.matmul.allow_tf32 = False
    for index in range(first, len(heads)):
        D, turns = heads[index]
        c.at(index)
        good, cells = True, []
        for B, S, Hq, G in FLASH_SHAPES:
            x = qkv(B, S, Hq, G, D, S)
            n = B * S * Hq * D
            raw, o = guarded((B, S, Hq, D), torch.bfloat16)
            lse = torch.full((B, S, Hq), float("nan"), device=DEV)
            launch_flash(lib, o, lse, x, Hq, G, turns)
            sync()
            mask = torch.ones(S, S, device=DEV, dtype=torch.bool).tril()
            ref, rl = torch.empty(B, S, Hq, D, device=DEV), torch.empty(B, S, Hq, device=DEV)
            for b in range(B):
                y = x[b].float().transpose(0, 1)
                q, k, val = (
                    y[:Hq],
                    y[Hq : Hq + G].repeat_interleave(Hq // G, 0),
                    y[Hq + G :].repeat_interleave(Hq // G, 0),
                )
                sc = ((q @ k.transpose(1, 2)) * D**-0.5).masked_fill(~mask, float("-inf"))
                ref[b] = (sc.softmax(-1) @ val).transpose(0, 1)
                rl[b] = sc.logsumexp(-1).transpose(0, 1)
                del sc
            e = compare(o, ref)
            el = (lse - rl).abs().max().item()
            tail = bool((as_bits(raw)[n:] == -1).all())
            bad = 0
            if S >= 1024:
                r2, o2 = guarded((B, S, Hq, D), torch.bfloat16)
                for _ in range(8):
                    as_bits(r2).fill_(-1)
                    launch_flash(lib, o2, lse, x, Hq, G, turns)
                    bad += 0 if torch.equal(as_bits(r2), as_bits(raw)) else 1
            ok = tail and e[0] < 6e-3 and e[1] < 0.03 and el < 1e-3 and bad == 0
            good = good and ok
            cells.append(
                f"B{B} S{S} heads {Hq}/{G}: {e[0]:.1e} (max {e[1]:.1e}) lse {el:.1e}{'' if tail else ' TAIL WRITTEN'}, {bad} runs differ {'ok' if ok else 'WRONG'}"
            )
        c.say(
            f"- **flash wgmma, head {D}{', taking turns' if turns else ''}**: {'ok' if good else 'WRONG'}"
        )
        [c.say("  - " + x) for x in cells]
        c.result(kind="flash", head=D, turns=turns, ok=good)


def step_bench_flash(c, heads):
    lib = library()
    F = torch.nn.functional
    from torch.nn.attention import sdpa_kernel, SDPBackend

    c.say(
        "\n### Attention forward, causal (FLOPs: half of 4 B H S^2 D)\n\n| what | ms | TFLOPS | over SDPA default |\n| --- | --- | --- | --- |"
    )
    for B, S, D, Hq in (
        ((16, 1024, 64, 12), (16, 1024, 128, 16), (4, 4096, 64, 12), (4, 4096, 128, 16))
        if DEV != "cpu"
        else ((1, 128, 64, 1),)
    ):
        x = qkv(B, S, Hq, Hq, D)
        flops = 2.0 * B * Hq * S * (S + 1) * D
        q, k, v = (x[:, :, i * Hq : (i + 1) * Hq].transpose(1, 2) for i in range(3))
        base = None
        for name, backend in (
            ("default", None),
            ("flash", SDPBackend.FLASH_ATTENTION),
            ("cudnn", SDPBackend.CUDNN_ATTENTION),
        ):

            def one():
                if backend is None:
                    return median_ms(
                        lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True)
                    )
                with sdpa_kernel(backend):
                    return median_ms(
                        lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True)
                    )

            ms = attempt(c, "SDPA " + name, one)
            if ms:
                base = base or ms
                c.say(
                    f"| SDPA {name}, {B} x {S}, {Hq} heads of {D} | {ms:.3f} | {flops / ms / 1e9:.0f} | {base / ms:.2f} |"
                )
        o, lse = torch.empty(B, S, Hq, D, device=DEV, dtype=torch.bfloat16), torch.empty(
            B, S, Hq, device=DEV
        )
        for D2, turns in heads:
            if D2 != D:
                continue
            ms = attempt(
                c, "flash", lambda: median_ms(lambda: launch_flash(lib, o, lse, x, Hq, Hq, turns))
            )
            if ms:
                c.say(
                    f"| wgmma{', taking turns' if turns else ''}, {B} x {S}, {Hq} heads of {D} | {ms:.3f} | {flops / ms / 1e9:.0f} | {base / ms if base else 0:.2f} |"
                )
                c.result(kind="flash_bench", B=B, S=S, head=D, turns=turns, ms=ms, sdpa=base)


BACKWARD_SHAPES = [
    (1, 1, 1, 1),
    (2, 7, 3, 1),
    (2, 65, 4, 2),
    (1, 130, 6, 3),
    (3, 257, 4, 4),
    (1, 640, 40, 8),
    (16, 1024, 12, 4),
    (2, 1024, 16, 16),
    (1, 4096, 12, 12),
]


def launch_backward(lib, dx, stat, x, o, do, lse, Hq, G, parts=(0, 1, 2)):
    B, S, _, D = x.shape
    at = lambda t: [t.data_ptr() + i * D * 2 for i in (0, Hq, Hq + G)]
    (q, k, v), (dq, dk, dv) = at(x), at(dx)
    c = BackwardCall(
        dq=dq,
        dk=dk,
        dv=dv,
        q=q,
        k=k,
        v=v,
        o=o.data_ptr(),
        gradient=do.data_ptr(),
        lse=lse.data_ptr(),
        stat=stat.data_ptr(),
        stream=stream(),
        batch=B,
        length=S,
        heads=Hq,
        groups=G,
        head=D,
        pitch=(Hq + 2 * G) * D,
        blocks=blocks(),
    )
    for what in parts:
        code = lib.tensor_cores_flash_backward(what, ctypes.byref(c))
        if code:
            raise RuntimeError(
                f"flash backward {what}: {code} {lib.tensor_cores_error(code).decode()}"
            )


def stat_for(B, S, Hq):
    return torch.full((2, B, Hq, (S + 63) // 64 * 64), float("nan"), device=DEV)


def step_backward(c, heads, first):
    lib = library()
    torch.backends.cuda.matmul.allow_tf32 = False
    for index in range(first, len(heads)):
        D = heads[index]
        c.at(index)
        good, cells = True, []
        for B, S, Hq, G in BACKWARD_SHAPES:
            x = qkv(B, S, Hq, G, D, S)
            do = qkv(B, S, Hq, 0, D, S + 1)
            o, lse = torch.empty(B, S, Hq, D, device=DEV, dtype=torch.bfloat16), torch.empty(
                B, S, Hq, device=DEV
            )
            launch_flash(lib, o, lse, x, Hq, G, 0)
            raw, dx = guarded(x.shape, torch.bfloat16)
            stat = stat_for(B, S, Hq)
            launch_backward(lib, dx, stat, x, o, do, lse, Hq, G)
            sync()
            ref, mask = (
                torch.empty(x.shape, device=DEV),
                torch.ones(S, S, device=DEV, dtype=torch.bool).tril(),
            )
            for b in range(B):
                y = x[b].float().transpose(0, 1)
                dy = do[b].float().transpose(0, 1)
                many = lambda t: t.repeat_interleave(Hq // G, 0)
                q, k, v = y[:Hq], many(y[Hq : Hq + G]), many(y[Hq + G :])
                p = (
                    ((q @ k.transpose(1, 2)) * D**-0.5)
                    .masked_fill_(~mask, float("-inf"))
                    .softmax(-1)
                )
                fold = lambda t: t.view(G, Hq // G, S, D).sum(1)
                dv = fold(p.transpose(1, 2) @ dy)
                ds = dy @ v.transpose(1, 2)
                ds.sub_((dy * (p @ v)).sum(-1, keepdim=True)).mul_(p).mul_(D**-0.5)
                del p
                ref[b] = torch.cat([ds @ k, fold(ds.transpose(1, 2) @ q), dv]).transpose(0, 1)
                del ds
            parts = [slice(0, Hq), slice(Hq, Hq + G), slice(Hq + G, None)]
            e = [
                compare(dx[:, :, s], ref[:, :, s]) if S > 1 or i == 2 else (0.0, 0.0)
                for i, s in enumerate(parts)
            ]
            tail = bool((as_bits(raw)[x.numel() :] == -1).all())
            bad = 0
            if S >= 1024:
                r2, dx2 = guarded(x.shape, torch.bfloat16)
                for _ in range(4):
                    as_bits(r2).fill_(-1)
                    launch_backward(lib, dx2, stat, x, o, do, lse, Hq, G)
                    bad += 0 if torch.equal(as_bits(r2), as_bits(raw)) else 1
            ok = tail and all(v[0] < 8e-3 for v in e) and bad == 0
            good = good and ok
            cells.append(
                f"B{B} S{S} heads {Hq}/{G}: "
                + ", ".join(
                    f"{n} {v[0]:.1e} (max {v[1]:.1e})" for n, v in zip(("dq", "dk", "dv"), e)
                )
                + f"{'' if tail else ' TAIL WRITTEN'}, {bad} runs differ {'ok' if ok else 'WRONG'}"
            )
        c.say(f"- **flash backward, head {D}**: {'ok' if good else 'WRONG'}")
        [c.say("  - " + t) for t in cells]
        c.result(kind="backward", head=D, ok=good)


def step_bench_backward(c, heads):
    lib = library()
    F = torch.nn.functional
    from torch.nn.attention import sdpa_kernel, SDPBackend

    c.say(
        "\n### Attention backward, causal (FLOPs: half of 10 B H S^2 D)\n\n| shape | SDPA cudnn ms | TFLOPS | SDPA flash ms | wgmma ms | TFLOPS | over cudnn | statistics ms | dk, dv ms | dq ms |\n|"
        + " --- |" * 10
    )
    for B, S, D, Hq, G in (
        (
            (16, 1024, 64, 12, 12),
            (16, 1024, 128, 16, 16),
            (16, 1024, 128, 16, 4),
            (4, 4096, 64, 12, 12),
            (4, 4096, 128, 16, 16),
        )
        if DEV != "cpu"
        else ((1, 128, 64, 1, 1),)
    ):
        if D not in heads:
            continue
        x = qkv(B, S, Hq, G, D)
        do = qkv(B, S, Hq, 0, D, 1)
        flops = 5.0 * B * Hq * S * (S + 1) * D
        q, k, v = (
            t.transpose(1, 2).detach().requires_grad_()
            for t in (x[:, :, :Hq], x[:, :, Hq : Hq + G], x[:, :, Hq + G :])
        )

        def peer(backend):
            with sdpa_kernel(backend):
                out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=G != Hq)
            return median_ms(
                lambda: torch.autograd.grad(out, (q, k, v), do.transpose(1, 2), retain_graph=True),
                10,
            )

        times = (
            [
                attempt(c, "SDPA", lambda: peer(b))
                for b in (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION)
            ]
            if DEV != "cpu"
            else [1.0, None]
        )
        o, lse, dx, stat = (
            torch.empty(B, S, Hq, D, device=DEV, dtype=torch.bfloat16),
            torch.empty(B, S, Hq, device=DEV),
            torch.empty_like(x),
            stat_for(B, S, Hq),
        )
        launch_flash(lib, o, lse, x, Hq, G, 0)
        own = lambda *parts: median_ms(
            lambda: launch_backward(lib, dx, stat, x, o, do, lse, Hq, G, parts), 10
        )
        ms = own(0, 1, 2)
        split = [own(i) for i in range(3)]
        show = lambda t: f"{t:.3f}" if t else "-"
        c.say(
            f"| {B} x {S}, {Hq}/{G} heads of {D} | {show(times[0])} | {flops / times[0] / 1e9 if times[0] else 0:.0f} | {show(times[1])} | {ms:.3f} | {flops / ms / 1e9:.0f} | {times[0] / ms if times[0] else 0:.2f} | "
            + " | ".join(f"{t:.3f}" for t in split)
            + " |"
        )
        c.result(
            kind="backward_bench",
            B=B,
            S=S,
            head=D,
            heads=Hq,
            groups=G,
            ms=ms,
            split=split,
            cudnn=times[0],
            flash=times[1],
        )


# ---------------------------------------------------------------- AdamW
class AdamTensor(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint64) for n in ("weight", "first", "second", "gradient", "copy")] + [
        ("count", ctypes.c_int64),
        ("chunk", ctypes.c_int32),
        ("decay", ctypes.c_float),
    ]


def adam_table(lib, tensors):
    """[(weight, first, second, gradient, copy or None, decay)] -> the table on the device, and its chunks."""
    size = lib.tensor_cores_adamw_chunk()
    rows = (AdamTensor * len(tensors))()
    chunk = 0
    for row, (w, m, v, g, b, decay) in zip(rows, tensors):
        row.weight, row.first, row.second, row.gradient, row.copy = (
            0 if t is None else t.data_ptr() for t in (w, m, v, g, b)
        )
        row.count, row.chunk, row.decay = w.numel(), chunk, decay
        chunk += (w.numel() + size - 1) // size
    return torch.frombuffer(bytearray(bytes(rows)), dtype=torch.uint8).to(DEV), chunk


def adam_step(
    lib, table, tensors, chunks, step, scale=None, rate=1e-3, beta=(0.9, 0.95), epsilon=1e-8
):
    f = ctypes.c_float
    p = ctypes.c_uint64
    code = lib.tensor_cores_adamw(
        p(table.data_ptr()),
        p(0 if scale is None else scale.data_ptr()),
        tensors,
        chunks,
        f(rate),
        f(beta[0]),
        f(beta[1]),
        f(epsilon),
        f(1 / (1 - beta[0] ** step)),
        f(1 / (1 - beta[1] ** step)),
        4 if DEV == "cpu" else blocks() * 16,
        p(stream()),
    )
    if code:
        raise RuntimeError(f"adamw {code}")


def step_adamw(c):
    lib = library()
    rnd = lambda n: torch.randn(n, device=DEV)
    sizes = [1, 3, 4, 1000, 2047, 2048, 2049, 70001] if DEV != "cpu" else [1, 3, 2049]
    made, refs = [], []
    for i, n in enumerate(sizes):
        w, g = rnd(n), rnd(n)
        b = torch.full((n + 64,), -7.0, device=DEV, dtype=torch.bfloat16)
        made.append(
            (
                w,
                torch.zeros(n, device=DEV),
                torch.zeros(n, device=DEV),
                g,
                b[:n] if i % 3 else None,
                0.1 * (i % 2),
            )
        )
        refs.append((w.double().requires_grad_(), b))
    table, chunks = adam_table(lib, made)
    scale = torch.tensor([0.5], device=DEV)
    worst = 0.0
    for r, (_w, _m, _v, g, _b, decay) in zip(refs, made):
        opt = torch.optim.AdamW([r[0]], lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=decay)
        for _ in range(3):
            r[0].grad = g.double() * 0.5
            opt.step()
    for step in (1, 2, 3):
        adam_step(lib, table, len(made), chunks, step, scale)
    sync()
    worst = max(
        (w.double() - r[0].detach()).abs().max().item() for r, (w, *_rest) in zip(refs, made)
    )
    same = all(b is None or torch.equal(b, w.bfloat16()) for (w, _m, _v, _g, b, _d) in made)
    tails = all(bool((r[1][w.numel() :] == -7).all()) for r, (w, *_rest) in zip(refs, made))
    c.say(
        f"- **AdamW**, {len(sizes)} tensors, 3 steps against torch in fp64: worst difference {worst:.1e}; bf16 copies {'equal' if same else 'WRONG'}; behind them {'untouched' if tails else 'WRITTEN'}: {'ok' if worst < 1e-5 and same and tails else 'WRONG'}"
    )
    c.result(kind="adamw", ok=worst < 1e-5 and same and tails)
    if DEV == "cpu":
        return
    n, each = 24, 8 * 1024 * 1024
    ws = [
        (
            rnd(each),
            torch.zeros(each, device=DEV),
            torch.zeros(each, device=DEV),
            rnd(each),
            torch.empty(each, device=DEV, dtype=torch.bfloat16),
            0.1,
        )
        for _ in range(n)
    ]
    table, chunks = adam_table(lib, ws)
    ms = median_ms(lambda: adam_step(lib, table, n, chunks, 1))
    big = ws[0][0].new_empty(1 << 28)
    from_ = torch.empty_like(big)
    cp = median_ms(lambda: big.copy_(from_), 10)
    del big, from_

    def peer():
        ps = [t[0].requires_grad_() for t in ws]
        for t in ws:
            t[0].grad = t[3]
        opt = torch.optim.AdamW(ps, lr=1e-3, betas=(0.9, 0.95), fused=True, weight_decay=0.1)
        copies = [t[4] for t in ws]

        def one():
            opt.step()
            with torch.no_grad():
                torch._foreach_copy_(copies, ps)

        return median_ms(one, 10)

    pm = attempt(c, "torch AdamW", peer)
    tb = 30.0 * n * each / ms / 1e9
    c.say(
        f"- AdamW of {n} x {each} elements: {ms:.3f} ms, {tb:.2f} TB/s, {tb / (8 * (1 << 28) / cp / 1e9):.2f} of copy's {8 * (1 << 28) / cp / 1e9:.2f}; torch fused AdamW and a copy to bf16 "
        + (f"{pm:.3f} ms: ratio {pm / ms:.2f}" if pm else "-")
    )
    c.result(kind="adamw_bench", ms=ms, tbs=tb, torch=pm)


# ---------------------------------------------------------------- RMSNorm
class NormCall(ctypes.Structure):
    _fields_ = (
        [
            (n, ctypes.c_uint64)
            for n in "x weight inverse y gradient add dx partial dw stream".split()
        ]
        + [(n, ctypes.c_int32) for n in ("rows", "columns", "blocks")]
        + [("epsilon", ctypes.c_float)]
    )


def norm(lib, what, **t):
    x = t["x"]
    c = NormCall(
        **{k: v.data_ptr() for k, v in t.items() if v is not None},
        rows=x.shape[0],
        columns=x.shape[1],
        blocks=blocks(),
        epsilon=1e-6,
        stream=stream(),
    )
    code = lib.tensor_cores_norm(what, ctypes.byref(c))
    if code:
        raise RuntimeError(f"norm {what}: {code}")


def step_norm(c):
    lib = library()
    good, cells = True, []
    for N, C, more in (
        ((1, 8, 0), (77, 24, 1), (1000, 264, 0), (300, 768, 1), (5000, 1536, 0), (257, 2048, 1))
        if DEV != "cpu"
        else ((1, 8, 0), (77, 264, 1))
    ):
        x, dy, add = (torch.randn(N, C, device=DEV).bfloat16() for _ in range(3))
        w = torch.rand(C, device=DEV) + 0.5
        (ry, y), (rx, dx), (rw, dw) = (
            guarded((N, C), torch.bfloat16),
            guarded((N, C), torch.bfloat16),
            guarded((C,), torch.float32),
        )
        inverse = torch.full((N,), float("nan"), device=DEV)
        partial = torch.full((16 * blocks(), C), float("nan"), device=DEV)
        norm(lib, 0, x=x, weight=w, inverse=inverse, y=y)
        norm(
            lib,
            1,
            x=x,
            weight=w,
            inverse=inverse,
            gradient=dy,
            add=add if more else None,
            dx=dx,
            partial=partial,
            dw=dw,
        )
        sync()
        X, W = x.float().requires_grad_(), w.clone().requires_grad_()
        Y = X * (X.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt() * W
        Y.backward(dy.float())
        e = (
            compare(y, Y.detach())[0],
            compare(dx, X.grad + (add.float() if more else 0))[0],
            compare(dw, W.grad)[0],
        )
        first = [t.clone() for t in (dx, dw)]
        norm(
            lib,
            1,
            x=x,
            weight=w,
            inverse=inverse,
            gradient=dy,
            add=add if more else None,
            dx=dx,
            partial=partial,
            dw=dw,
        )
        sync()
        same = torch.equal(dx, first[0]) and torch.equal(dw, first[1])
        tails = all(
            bool((as_bits(r)[n:] == -1).all()) for r, n in ((ry, N * C), (rx, N * C), (rw, C))
        )
        ok = e[0] < 4e-3 and e[1] < 4e-3 and e[2] < 1e-5 and same and tails
        good = good and ok
        cells.append(
            f"{N}x{C}: y {e[0]:.1e}, dx {e[1]:.1e}, dw {e[2]:.1e}{'' if same else ' DIFFERS'}{'' if tails else ' TAIL WRITTEN'}"
        )
    c.say(f"- **RMSNorm**: {'ok' if good else 'WRONG'}; " + "; ".join(cells))
    c.result(kind="norm", ok=good)
    for N, C in ((16384, 768), (65536, 1536)) if DEV != "cpu" else ():
        x, dy = (torch.randn(N, C, device=DEV).bfloat16() for _ in range(2))
        w = torch.rand(C, device=DEV)
        y, dx, dw, inverse, partial = (
            torch.empty_like(x),
            torch.empty_like(x),
            torch.empty_like(w),
            torch.empty(N, device=DEV),
            torch.empty(16 * blocks(), C, device=DEV),
        )
        f = median_ms(lambda: norm(lib, 0, x=x, weight=w, inverse=inverse, y=y))
        b = median_ms(
            lambda: norm(
                lib, 1, x=x, weight=w, inverse=inverse, gradient=dy, dx=dx, partial=partial, dw=dw
            )
        )
        X, W = x.detach().clone().requires_grad_(), w.bfloat16().requires_grad_()
        tf = attempt(
            c,
            "torch rms_norm",
            lambda: median_ms(lambda: torch.nn.functional.rms_norm(x, (C,), W.detach(), 1e-6), 10),
        )
        out = torch.nn.functional.rms_norm(X, (C,), W, 1e-6)
        tb = attempt(
            c,
            "torch rms_norm backward",
            lambda: median_ms(lambda: torch.autograd.grad(out, (X, W), dy, retain_graph=True), 10),
        )
        c.say(
            f"- RMSNorm {N} x {C}: forward {f:.3f} ms, {4.0 * N * C / f / 1e9:.2f} TB/s (torch {tf or 0:.3f} ms); backward {b:.3f} ms, {6.0 * N * C / b / 1e9:.2f} TB/s (torch {tb or 0:.3f} ms)"
        )
        c.result(kind="norm_bench", N=N, C=C, forward=f, backward=b, torch=[tf, tb])


def one_mode():
    lib = library()
    L = Layer(16384, 768, 3072, 8, "random", 3)
    L.run(lib, ROWS)
    for what in PRODUCTS:
        L.product(lib, what, [torch.empty(*sh, device=DEV, dtype=t) for sh, t in L.shapes(what)])
        sync()
    B, S, D, H = 16, 1024, 128, 16
    x = qkv(B, S, H, H, D)
    o, lse, dx = (
        torch.empty(B, S, H, D, device=DEV, dtype=torch.bfloat16),
        torch.empty(B, S, H, device=DEV),
        torch.empty_like(x),
    )
    launch_flash(lib, o, lse, x, H, H, 0)
    launch_backward(lib, dx, stat_for(B, S, H), x, o, o, lse, H, H)
    sync()


class Main:
    def __init__(self, limit, out):
        self.limit, self.out = limit, out
        os.makedirs(out, exist_ok=True)
        self.log = open(os.path.join(out, "log.md"), "a")
        self.path = os.path.join(out, "results.jsonl")
        open(self.path, "w").close()
        self.results = open(self.path, "a")
        self.progress = mmap.mmap(-1, 4096)

    def left(self):
        return self.limit - (time.time() - START)

    def say(self, line=""):
        self.log.write(line + "\n")
        self.log.flush()
        print(line, flush=True)

    def fork(self, title, timeout, fn, *args):
        """Runs fn(child, *args) in a process of its own; (exit status or None when it ran too long, last index begun)."""
        timeout = min(timeout * (20 if DEV == "cpu" else 1), self.left())
        if timeout < 3:
            self.say(f"- {title}: skipped, no time left")
            return None, -2
        self.progress[0:4] = struct.pack("i", -1)
        self.log.flush()
        self.results.flush()
        sys.stdout.flush()
        begin = time.time()
        pid = os.fork()
        if pid == 0:
            code = 1
            child = Child(self.log, self.results, self.progress)
            try:
                fn(child, *args)
                code = 0
            except BaseException as e:
                child.say(
                    f"- {title}: FAILED {type(e).__name__}: {(str(e).splitlines() or [''])[0][:300]}"
                )
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        status, item, since = None, -1, begin  # the limit counts anew for every item
        while time.time() - since < timeout and self.left() > 0:
            done, st = os.waitpid(pid, os.WNOHANG)
            if done:
                status = os.waitstatus_to_exitcode(st)
                break
            at = struct.unpack("i", self.progress[0:4])[0]
            if at != item:
                item, since = at, time.time()
            time.sleep(0.05)
        if status is None:
            self.say(f"- {title}: TIMEOUT after {timeout:.0f} s")
            os.kill(pid, signal.SIGKILL)
            for _ in range(100):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    break
                time.sleep(0.05)
        elif status != 0:
            self.say(f"- {title}: exit {status}")
        self.say(f"  ({title}: {time.time() - begin:.1f} s; {time.time() - START:.0f} s in all)\n")
        return status, struct.unpack("i", self.progress[0:4])[0]

    def variants(self, title, timeout, fn, *args, count):
        """One child for all; after a crash or hang the next begins behind the item that failed."""
        first = 0
        while first < count:
            status, at = self.fork(title, timeout, fn, *args, first)
            if status == 0 or at == -2:
                return
            failed = max(at, first)
            self.say(f"- {title}: item {failed} **FAILED**")
            first = failed + 1

    def ran(self, kind):
        rows = [json.loads(x) for x in open(self.path) if x.strip()]
        return [r for r in rows if r["kind"] == kind]

    def run(self, commands, timeout):
        """Commands side by side: {name: argv}; output into files; returns {name: (status, text)}."""
        timeout = min(timeout, self.left())
        out = {}
        if timeout < 3:
            return {k: (None, "skipped, no time left") for k in commands}
        ps = {}
        for k, argv in commands.items():
            f = open(os.path.join(self.out, k + ".txt"), "w")
            try:
                ps[k] = subprocess.Popen(
                    argv, stdout=f, stderr=subprocess.STDOUT, cwd=HERE, start_new_session=True
                )
            except OSError as e:
                out[k] = (None, str(e))
        end = time.time() + timeout
        while time.time() < end and any(p.poll() is None for p in ps.values()):
            time.sleep(0.1)
        for k, p in ps.items():
            status = p.poll()
            if status is None:
                try:
                    os.killpg(p.pid, signal.SIGKILL)
                except OSError:
                    pass
                status = "timeout"
            out[k] = (status, open(os.path.join(self.out, k + ".txt"), errors="replace").read())
        return out


def tool(name):
    found = shutil.which(name)
    for p in (
        f"/usr/local/cuda/bin/{name}",
        f"/usr/local/cuda-13.0/bin/{name}",
        f"/usr/local/cuda/compute-sanitizer/{name}",
    ):
        if not found and os.path.exists(p):
            found = p
    return found


def main():
    global torch
    args = sys.argv[1:]
    value = lambda k, d: args[args.index(k) + 1] if k in args else d
    m = Main(
        float(value("--limit", "150")),
        value("--out", os.environ.get("OUT", "/tmp/tensor_cores_out")),
    )
    only = value("--only", "").split(",") if "--only" in args else None
    wants = lambda s: only is None or s in only
    m.say("# The grouped-product engine on hardware\n")
    m.say(
        "```\n"
        + subprocess.run(
            "nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,power.limit --format=csv; nvcc --version | tail -2",
            shell=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        + "\n```\n"
    )
    so = os.path.join(HERE, "tensor_cores.so")
    r = subprocess.run(
        [sys.executable, "-c", f"import ctypes; ctypes.CDLL({so!r})"],
        capture_output=True,
        text=True,
    )
    if r.returncode or "--rebuild" in args:
        m.say(f"- building ({r.stderr.strip()[-300:]})")
        r = subprocess.run(
            ["bash", os.path.join(HERE, "build.sh"), tool("nvcc") or "nvcc"],
            capture_output=True,
            text=True,
            timeout=90,
        )
        m.say(f"- build: exit {r.returncode} {r.stdout[-300:]} {r.stderr[-300:]}")
    import torch as _torch

    torch = _torch
    if args and args[0] == "one":
        return one_mode()
    m.say("## Ceilings\n")
    if wants("facts"):
        m.fork("facts", 40, step_facts)
    ceiling = (m.ran("ceiling") or [dict(tflops=float("nan"))])[-1]["tflops"]
    m.say(
        "## Correctness\n\nRelative to fp32: in the norm, and the worst element over |ref| + rms. Limits 4e-3 and 2e-2, weight gradients 5e-5 and 5e-4.\n"
    )
    items = [(w, k) for k in (0, 2) for w in PRODUCTS] + [(COMBINE, 0)]
    if wants("correct"):
        m.variants("correct", 15, step_correct, items, count=len(items))
    allowed = (
        [r["what"] for r in m.ran("correct") if r["ok"] and r["skew"] == 0]
        if wants("correct")
        else list(PRODUCTS)
    )
    if wants("chain") and len(allowed) >= 6:
        m.fork("chain", 15, step_chain)
    m.say(
        "## Speed\n\nMedian of 20, CUDA events, T=16384; the better of two medians for before and now. TB/s: every operand and output once. The peers: a torch.matmul of equal FLOPs, and torch._grouped_mm (rows gathered before, no SwiGLU, gradients of weights in bf16).\n"
    )
    if wants("bench"):
        m.variants("speed", 20, step_bench, allowed, BENCH, ceiling, count=len(BENCH))
    if wants("dense"):
        m.fork("dense", 15, step_dense)
    if wants("flash"):
        m.variants("flash", 15, step_flash, [(64, 0), (128, 0)], count=2)
        m.variants("flash backward", 15, step_backward, [64, 128], count=2)
        right = [r["head"] for r in m.ran("backward") if r["ok"]]
        if right:
            m.fork("flash backward speed", 15, step_bench_backward, right)
    if wants("adamw"):
        m.fork("adamw", 15, step_adamw)
    if wants("norm"):
        m.fork("norm", 15, step_norm)
    py, me = sys.executable, os.path.abspath(__file__)
    small = os.path.join(HERE, "small.py")
    if wants("ncu") and tool("ncu"):
        m.say("## ncu\n")
        s, text = m.run(
            {
                "ncu_metrics": [
                    tool("ncu"),
                    "--clock-control",
                    "none",
                    "-k",
                    "regex:grouped_product|flash_backward",
                    "--metrics",
                    "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active,gpu__time_duration.sum,sm__cycles_elapsed.avg,lts__t_sectors.sum,lts__t_sector_hit_rate.pct,dram__bytes.sum,smsp__inst_executed.sum,l1tex__data_bank_conflicts_pipe_lsu.sum",
                    py,
                    me,
                    "one",
                    "--out",
                    m.out,
                ]
            },
            30,
        )["ncu_metrics"]
        m.say(
            f"exit {s}; metrics\n\n```\n"
            + "\n".join(
                re.sub(r"\s{3,}", "   ", x.rstrip())[:170]
                for x in text.splitlines()
                if "__" in x or "x(" in x or "rror" in x
            )[:9000]
            + "\n```\n"
        )
    if wants("sanitizer") and tool("compute-sanitizer"):
        m.say("## compute-sanitizer, small shapes\n")
        jobs = {
            t: [
                tool("compute-sanitizer"),
                "--tool",
                t,
                "--print-limit",
                "5",
                py,
                small,
                "device",
                "1",
            ]
            for t in ("memcheck", "racecheck", "synccheck")
        }
        for k, (s, text) in m.run(jobs, 45).items():
            m.say(
                f"**{k}** exit {s}\n\n```\n{text[:900]}{' ... ' + text[-700:] if len(text) > 1600 else text[900:]}\n```\n"
            )
    try:
        m.say(
            "## Compiled\n\n```\n"
            + open(os.path.join(HERE, "summary.txt")).read().strip()
            + "\n```\n"
        )
    except OSError:
        pass
    m.say(f"\nEnd after {time.time() - START:.0f} s.")


if DEV == "cpu":
    CORRECT, BENCH, BENCH_T, REPEAT_FROM = (
        CORRECT[:2],
        [(24, 40, 4, "random"), (24, 40, 4, 2)],
        64,
        20,
    )
    FLASH_SHAPES = FLASH_SHAPES[:3]
    BACKWARD_SHAPES = BACKWARD_SHAPES[:4]
if __name__ == "__main__":
    main()
