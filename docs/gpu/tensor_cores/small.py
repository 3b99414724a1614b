#!/usr/bin/env python3
"""The products against numpy in float64, without torch.
small.py device [seed]: on the GPU (for compute-sanitizer); small.py emulate [seeds]: in the emulator.
"""

import ctypes, os, sys, time
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
U64, I32 = ctypes.c_uint64, ctypes.c_int32
ADDRESSES = "plan out out2 a b h row_gate row_pair gates dgates partial stream".split()
SIZES = "tokens capacity hidden width experts blocks accumulate skew".split()


class Call(ctypes.Structure):
    _fields_ = [(n, U64) for n in ADDRESSES] + [(n, I32) for n in SIZES]


UP, DOWN, DACT, DX, DW1, DW2, ROWS, DGATE, COMBINE = range(1, 10)


def load(path):
    lib = ctypes.CDLL(path)
    lib.tensor_cores_run.argtypes = [I32, ctypes.POINTER(Call)]
    if hasattr(lib, "tensor_cores_error"):
        lib.tensor_cores_error.restype = ctypes.c_char_p
    return lib


def bits(x):
    x = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((x + 0x7FFF + (x >> 16 & 1)) >> 16).astype(np.uint16)


def wide(b):
    return (b.astype(np.uint32) << 16).view(np.float32)


class Host:
    def __init__(self):
        self.lib = load(os.path.join(HERE, "emulate", "emulate.so"))
        self.keep = []
        self.blocks = 4

    def reset(self, seed):
        self.keep = []
        self.lib.emulate_reset(ctypes.c_uint32(seed))

    def put(self, array):
        raw = np.zeros(array.nbytes + 64, np.uint8)
        at = -raw.ctypes.data % 16
        view = raw[at : at + array.nbytes].view(array.dtype).reshape(array.shape)
        view[...] = array
        self.keep.append((raw, view))
        self.lib.emulate_readable(ctypes.c_void_p(view.ctypes.data), U64(view.nbytes))
        return view.ctypes.data

    def get(self, p, like):
        return next(v for _, v in self.keep if v.ctypes.data == p).copy()

    def run(self, what, call):
        assert self.lib.tensor_cores_run(what, ctypes.byref(call)) == 0


class Device:
    def __init__(self):
        self.lib = load(os.environ.get("TENSOR_CORES_SO", os.path.join(HERE, "tensor_cores.so")))
        self.blocks = 12
        self.keep = []
        self.lib.tensor_cores_alloc.restype = U64
        self.lib.tensor_cores_alloc.argtypes = [U64]
        self.lib.tensor_cores_free.argtypes = [U64]
        self.lib.tensor_cores_put.argtypes = [U64, ctypes.c_void_p, U64]
        self.lib.tensor_cores_get.argtypes = [ctypes.c_void_p, U64, U64]

    def reset(self, seed):
        for p in self.keep:
            self.lib.tensor_cores_free(p)
        self.keep = []

    def put(self, array):
        array = np.ascontiguousarray(array)
        p = self.lib.tensor_cores_alloc(max(array.nbytes, 16))
        assert p
        assert self.lib.tensor_cores_put(p, array.ctypes.data, array.nbytes) == 0
        self.keep.append(p)
        return p

    def get(self, p, like):
        out = np.empty_like(like)
        assert self.lib.tensor_cores_get(out.ctypes.data, p, out.nbytes) == 0
        return out

    def run(self, what, call):
        code = self.lib.tensor_cores_run(what, ctypes.byref(call)) or self.lib.tensor_cores_sync()
        if code:
            print("ERROR", what, code, self.lib.tensor_cores_error(code).decode(), flush=True)
            sys.exit(3)


def make_plan(active, capacity):
    """As dispatch_plan: rows expert-major, tokens ascending; slots token-major, experts ascending."""
    T, E = active.shape
    e, t = np.nonzero(active.T)
    N = len(e)
    rows = np.full((T, E), -1)
    rows[t, e] = np.arange(N)
    offset = np.concatenate([[0], np.cumsum(active.sum(0))])
    token_offset = np.concatenate([[0], np.cumsum(active.sum(1))])
    junk = np.full(capacity - N, 2**30)
    plan = np.concatenate(
        [[N, 0, 0, capacity], offset, token_offset, t, junk, rows[rows >= 0], junk]
    ).astype(np.int32)
    return plan, offset, t, e, N


def case(m, rng, T, d, W, E, active, spare, accumulate, skew, products):
    C = max(int(active.sum()) + spare, 1)
    plan, offset, token, expert, N = make_plan(active, C)
    tiles = (W + 255) // 256
    rnd = lambda *s: bits(rng.standard_normal(s))
    x, dy, h, act, dh, y = rnd(T, d), rnd(T, d), rnd(C, 2 * W), rnd(C, W), rnd(C, 2 * W), rnd(C, d)
    for array in (h, act, dh, y):
        array[N:] = 0x7FFF  # NaN beyond the rows
    w1, w2 = bits(rng.standard_normal((E, d, 2 * W)) * d**-0.5), bits(
        rng.standard_normal((E, W, d)) * W**-0.5
    )
    gates = np.where(active, rng.random((T, E)) + 0.1, 0).astype(np.float32)
    p = {
        k: m.put(v)
        for k, v in dict(
            x=x, dy=dy, h=h, act=act, dh=dh, y=y, w1=w1, w2=w2, gates=gates, plan=plan
        ).items()
    }
    nan16, nan32 = lambda *s: np.full(int(np.prod(s)) + 64, 0x7FC1, np.uint16), lambda *s: np.full(
        int(np.prod(s)) + 64, np.nan, np.float32
    )
    like = dict(
        row_gate=nan32(C),
        row_pair=np.full(C + 64, -7, np.int32),
        partial=nan32(C, tiles),
        dgates=nan32(T, E),
    )
    q = {k: m.put(v) for k, v in like.items()}

    def run(what, **kw):
        c = Call(
            tokens=T,
            capacity=C,
            hidden=d,
            width=W,
            experts=E,
            blocks=m.blocks,
            accumulate=accumulate,
            skew=skew,
            plan=p["plan"],
            gates=p["gates"],
            **{**{k: q[k] for k in ("row_gate", "row_pair", "partial", "dgates")}, **kw},
        )
        m.run(what, c)

    def out(shape, kind=nan16):
        like = kind(*shape)
        return m.put(like), like, shape

    def read(o, rows=None, guard=True):
        a = m.get(o[0], o[1])
        n = int(np.prod(o[2]))
        body, tail = a[:n].reshape(o[2]), a[n:]
        if rows is not None:
            tail = np.concatenate([body[rows:].reshape(-1), tail])
            body = body[:rows]
        untouched = (tail == 0x7FC1).all() if a.dtype == np.uint16 else np.isnan(tail).all()
        assert untouched or not guard, "written beyond the end"
        return (wide(body) if a.dtype == np.uint16 else body).astype(np.float64)

    errors = {}

    def check(name, got, want, limit=4e-3):
        if want.size == 0:
            return
        assert np.isfinite(got).all(), f"{name}: not finite"
        e = np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-30)
        errors[name] = max(errors.get(name, 0), e)
        assert e < limit, f"{name}: {e}"

    f = lambda b: wide(b).astype(np.float64)
    X, DY, H, A, DH, Y, W1, W2 = map(f, (x, dy, h, act, dh, y, w1, w2))
    span = [slice(offset[e], offset[e + 1]) for e in range(E)]
    g = gates[token, expert].astype(np.float64)
    run(ROWS)
    check("gate", m.get(q["row_gate"], like["row_gate"])[:N].astype(np.float64), g, 1e-9)
    sig = lambda z: 1 / (1 + np.exp(-z))
    if UP in products:
        oa, oh = out((C, W)), out((C, 2 * W))
        run(UP, a=p["x"], b=p["w1"], out=oa[0], out2=oh[0])
        ref = np.zeros((N, 2 * W))
        for e in range(E):
            ref[span[e]] = X[token[span[e]]] @ W1[e]
        check("H", read(oh, N), ref)
        check("A", read(oa, N), ref[:, :W] * sig(ref[:, :W]) * ref[:, W:])
    if DOWN in products:
        o = out((C, d))
        run(DOWN, a=p["act"], b=p["w2"], out=o[0])
        ref = np.zeros((N, d))
        for e in range(E):
            ref[span[e]] = A[span[e]] @ W2[e]
        check("Y", read(o, N), ref)
    if DACT in products:
        o, o2 = out((C, 2 * W)), out((C, W))
        run(DACT, a=p["dy"], b=p["w2"], h=p["h"], out=o[0], out2=o2[0])
        run(DGATE)
        dap = np.zeros((N, W))
        for e in range(E):
            dap[span[e]] = DY[token[span[e]]] @ W2[e].T
        gt, up = H[:N, :W], H[:N, W:]
        s = sig(gt)
        a = gt * s * up
        da = dap * g[:, None]
        check("dH", read(o, N), np.concatenate([da * up * s * (1 + gt * (1 - s)), da * gt * s], 1))
        check("A'", read(o2, N), a * g[:, None])
        dg = m.get(q["dgates"], like["dgates"])
        body = dg[: T * E].reshape(T, E)
        check("dgate", body[token, expert].astype(np.float64), (dap * a).sum(1), 1e-4)
        assert np.isnan(body[~active]).all() and np.isnan(dg[T * E :]).all(), "dgates beyond"
    if DX in products:
        o = out((C, d))
        run(DX, a=p["dh"], b=p["w1"], out=o[0])
        ref = np.zeros((N, d))
        for e in range(E):
            ref[span[e]] = DH[span[e]] @ W1[e].T
        check("dX rows", read(o, N), ref)
    for what, name, shape, left, right in (
        (DW1, "dW1", (E, d, 2 * W), lambda r: X[token[r]], lambda r: DH[r]),
        (DW2, "dW2", (E, W, d), lambda r: A[r], lambda r: DY[token[r]]),
    ):
        if what not in products:
            continue
        like0 = nan32(*shape)
        if accumulate:
            like0[: int(np.prod(shape))] = rng.standard_normal(int(np.prod(shape))).astype(
                np.float32
            )
        o = (m.put(like0), like0, shape)
        run(
            what,
            a=p["x"] if what == DW1 else p["act"],
            b=p["dh"] if what == DW1 else p["dy"],
            out=o[0],
        )
        ref = np.stack([left(span[e]).T @ right(span[e]) for e in range(E)])
        if accumulate:
            ref = ref + like0[: ref.size].reshape(shape)
        check(name, read(o), ref, 5e-5 if not (ref == 0).all() else 1)
    if COMBINE in products:
        for name, gated in (("O", True), ("dX", False)):
            o = out((T, d))
            run(COMBINE, a=p["y"], out=o[0], **({} if gated else {"row_gate": 0}))
            ref = np.zeros((T, d))
            np.add.at(ref, token, Y[:N] * (g[:, None] if gated else 1))
            check(name, read(o), ref)
    return errors


def flash_case(m, rng, B, S, Hq, G, D, turns):
    x = bits(rng.standard_normal((B, S, Hq + 2 * G, D)))
    q = m.put(x)
    o, l = np.full(B * S * Hq * D + 64, 0x7FC1, np.uint16), np.full(
        B * S * Hq + 64, np.nan, np.float32
    )
    po, pl = m.put(o), m.put(l)
    m.lib.tensor_cores_flash.argtypes = [U64] * 5 + [I32] * 8 + [U64]
    code = m.lib.tensor_cores_flash(
        po,
        pl,
        q,
        q + Hq * D * 2,
        q + (Hq + G) * D * 2,
        B,
        S,
        Hq,
        G,
        D,
        (Hq + 2 * G) * D,
        turns,
        m.blocks,
        0,
    ) or (m.lib.tensor_cores_sync() if hasattr(m.lib, "tensor_cores_sync") else 0)
    if code:
        print("flash ERROR", code, flush=True)
        sys.exit(3)
    y = wide(x).astype(np.float64)
    r, rl = np.zeros((B, S, Hq, D)), np.zeros((B, S, Hq))
    for b in range(B):
        for h in range(Hq):
            g = h // (Hq // G)
            sc = y[b, :, h] @ y[b, :, Hq + g].T / D**0.5
            sc = np.where(np.tril(np.ones((S, S), bool)), sc, -np.inf)
            top = sc.max(1, keepdims=True)
            e = np.exp(sc - top)
            r[b, :, h] = e / e.sum(1, keepdims=True) @ y[b, :, Hq + G + g]
            rl[b, :, h] = top[:, 0] + np.log(e.sum(1))
    go, gl = m.get(po, o), m.get(pl, l)
    n = r.size
    assert (go[n:] == 0x7FC1).all() and np.isnan(
        gl[rl.size :]
    ).all(), "flash: written beyond the end"
    a = wide(go[:n]).reshape(r.shape)
    e = np.linalg.norm(a - r) / np.linalg.norm(r)
    el = np.abs(gl[: rl.size].reshape(rl.shape) - rl).max()
    print(f"flash turns {turns} B{B} S{S} heads {Hq}/{G} of {D}: {e:.1e} lse {el:.1e}", flush=True)
    assert e < 6e-3 and el < 1e-3


B_ADDRESSES = "dq dk dv q k v o gradient lse stat stream".split()
B_SIZES = "batch length heads groups head pitch blocks".split()


class BackwardCall(ctypes.Structure):
    _fields_ = [(n, U64) for n in B_ADDRESSES] + [(n, I32) for n in B_SIZES]


def flash_backward_case(m, rng, B, S, Hq, G, D):
    P = (S + 63) // 64 * 64
    x, do = bits(rng.standard_normal((B, S, Hq + 2 * G, D))), bits(
        rng.standard_normal((B, S, Hq, D))
    )
    y, dy = wide(x).astype(np.float64), wide(do).astype(np.float64)
    o, l, r = np.zeros((B, S, Hq, D)), np.zeros((B, S, Hq)), np.zeros((B, S, Hq + 2 * G, D))
    for b in range(B):
        for h in range(Hq):
            g = h // (Hq // G)
            q, k, v = y[b, :, h], y[b, :, Hq + g], y[b, :, Hq + G + g]
            sc = np.where(np.tril(np.ones((S, S), bool)), q @ k.T / D**0.5, -np.inf)
            top = sc.max(1, keepdims=True)
            e = np.exp(sc - top)
            p = e / e.sum(1, keepdims=True)
            o[b, :, h] = p @ v
            l[b, :, h] = top[:, 0] + np.log(e.sum(1))
            ds = p * (dy[b, :, h] @ v.T - (dy[b, :, h] * o[b, :, h]).sum(1, keepdims=True)) / D**0.5
            r[b, :, h] = ds @ k
            r[b, :, Hq + g] += ds.T @ q
            r[b, :, Hq + G + g] += p.T @ dy[b, :, h]
    q = m.put(x)
    out, stat = np.full(x.size + 64, 0x7FC1, np.uint16), np.full(
        2 * B * Hq * P + 64, np.nan, np.float32
    )
    po, ps = m.put(out), m.put(stat)
    at = lambda p: (p, p + Hq * D * 2, p + (Hq + G) * D * 2)
    pq, pk, pv = at(q)
    dq, dk, dv = at(po)
    c = BackwardCall(
        dq=dq,
        dk=dk,
        dv=dv,
        q=pq,
        k=pk,
        v=pv,
        o=m.put(bits(o)),
        gradient=m.put(do),
        lse=m.put(l.astype(np.float32)),
        stat=ps,
        batch=B,
        length=S,
        heads=Hq,
        groups=G,
        head=D,
        pitch=(Hq + 2 * G) * D,
        blocks=m.blocks,
    )
    for what in range(3):
        code = m.lib.tensor_cores_flash_backward(what, ctypes.byref(c)) or (
            m.lib.tensor_cores_sync() if hasattr(m.lib, "tensor_cores_sync") else 0
        )
        if code:
            print("flash backward ERROR", what, code, flush=True)
            sys.exit(3)
    go, gs = m.get(po, out), m.get(ps, stat)
    assert (go[x.size :] == 0x7FC1).all() and np.isnan(
        gs[-64:]
    ).all(), "flash backward: written beyond the end"
    a = wide(go[: x.size]).reshape(x.shape).astype(np.float64)
    e = {
        k: np.linalg.norm(a[:, :, s] - r[:, :, s]) / max(np.linalg.norm(r[:, :, s]), 1)
        for k, s in dict(dq=slice(0, Hq), dk=slice(Hq, Hq + G), dv=slice(Hq + G, None)).items()
    }
    print(
        f"flash backward B{B} S{S} heads {Hq}/{G} of {D}: "
        + " ".join(f"{k} {v:.1e}" for k, v in e.items()),
        flush=True,
    )
    assert all(v < 1e-2 for v in e.values())


FLASH = [(1, 1, 1, 1), (2, 150, 4, 2), (1, 300, 3, 1)]

SHAPES = [  # T, d, W, E, share of active pairs, spare capacity
    (5, 8, 8, 1, 1.0, 0),
    (70, 24, 40, 3, 0.4, 9),
    (150, 72, 136, 4, 0.5, 70),
    (300, 200, 264, 3, 0.6, 5),
    (200, 136, 392, 5, 0.3, 300),
    (1, 64, 64, 2, 0.0, 3),
]


def active_pairs(rng, T, E, share):
    a = rng.random((T, E)) < share
    if E >= 3:
        a[:, 1] = False  # an empty expert
    return a


def main():
    mode = sys.argv[1]
    m = Host() if mode == "emulate" else Device()
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    only = [int(x) for x in sys.argv[3].split(",")] if len(sys.argv) > 3 else range(0, 11)
    for seed in range(count):
        for D in (64, 128) if 10 in only else ():
            for n, f in enumerate(FLASH):
                m.reset(seed)
                flash_backward_case(m, np.random.default_rng(seed * 10 + n), *f, D)
        for D in (64, 128) if 0 in only else ():
            for turns in (0, 1):
                for n, f in enumerate(FLASH):
                    m.reset(seed)
                    flash_case(m, np.random.default_rng(seed * 10 + n), *f, D, turns)
        for n, (T, d, W, E, share, spare) in enumerate(SHAPES if set(only) - {0, 10} else []):
            rng = np.random.default_rng(100 * seed + n)
            active = active_pairs(rng, T, E, share)
            for accumulate, skew in (
                ((0, 0), (1, 0), (0, 1), (1, 2)) if mode == "emulate" else ((0, 0), (1, 2))
            ):
                m.reset(100 * seed + n)
                t = time.time()
                e = case(m, rng, T, d, W, E, active, spare, accumulate, skew, only)
                print(
                    f"T{T} d{d} W{W} E{E} accumulate {accumulate} skew {skew}: ok {time.time() - t:.1f} s "
                    + " ".join(f"{k} {v:.1e}" for k, v in e.items()),
                    flush=True,
                )
    print("end", flush=True)


if __name__ == "__main__":
    main()
