"""Times of operations on tensors, and of captured graphs beside direct calls."""

import ctypes


def layout(*values):
    """A layout of the contract."""
    return (ctypes.c_int32 * len(values))(*values)


def time_tensor(bench, table, small):
    """Elementwise operations, reductions and strided copies, in bf16 unless named."""
    import torch
    import torch.nn.functional as F

    from torch_side import DTYPES, TORCH

    rows, columns = (64, 48) if small else (16384, 3072)
    size = rows * columns
    f32, code, real = DTYPES["f32"], DTYPES["bf16"], TORCH["bf16"]
    x, y = (bench.normal(rows, columns, dtype="bf16") for _ in range(2))
    row = bench.normal(columns, dtype="bf16")
    wide = bench.normal(rows, columns)
    out, narrow = bench.empty(*x.shape, dtype=x.dtype), bench.empty(columns, dtype=real)
    tall, one, other = bench.empty(rows, dtype=real), bench.empty(1), bench.empty(*wide.shape, dtype=wide.dtype)
    dense = (columns, 1)
    for name, strides, b in (("two tensors", dense, y), ("a row", (0, 1), row)):
        shape = layout(2, rows, columns, *dense, *strides)
        table.row(f"binary add of {name}", ["binary"],
                  lambda: bench.call("binary", 0, code, out, x, b, shape),
                  moved=4 * size + 2 * b.numel(), peer=lambda: torch.add(x, b, out=out))
    table.row("unary silu", ["unary"], lambda: bench.call("unary", 7, code, out, x, 0.0, size),
              moved=4 * size, peer=lambda: F.silu(x))
    table.row("unary silu gradient", ["unary_gradient"],
              lambda: bench.call("unary_gradient", 7, code, out, y, x, 0.0, size, 0),
              moved=6 * size, peer=lambda: torch.ops.aten.silu_backward(y, x))
    table.row("cast fp32 to bf16", ["cast"],
              lambda: bench.call("cast", code, out, f32, wide, size), moved=6 * size,
              peer=lambda: out.copy_(wide))
    for name, flags, into in (("rows", (1, 0), narrow), ("columns", (0, 1), tall)):
        shape = layout(2, rows, columns, *flags)
        table.row(f"reduce sum over {name}", ["reduce"],
                  lambda: bench.call("reduce", 0, code, into, x, shape, 0), moved=2 * size,
                  peer=lambda: torch.sum(x, flags.index(1)))
    whole = layout(1, size, 1)
    table.row("reduce sum of fp32", ["reduce"],
              lambda: bench.call("reduce", 0, f32, one, wide, whole, 0), moved=4 * size,
              peer=lambda: torch.sum(wide))
    table.row("softmax", ["softmax"], lambda: bench.call("softmax", code, out, x, rows, columns),
              moved=4 * size, peer=lambda: F.softmax(x, -1))
    table.row("softmax gradient", ["softmax_gradient"],
              lambda: bench.call("softmax_gradient", code, out, x, y, rows, columns, 0),
              moved=6 * size)
    across = layout(2, columns, rows, 1, columns)
    table.row("copy_strided transpose", ["copy_strided"],
              lambda: bench.call("copy_strided", code, out, x, across), moved=4 * size,
              peer=lambda: x.t().contiguous())
    table.row("copy_strided transpose of fp32", ["copy_strided"],
              lambda: bench.call("copy_strided", f32, other, wide, across),
              moved=8 * size, peer=lambda: wide.t().contiguous())
    heads, head = (3, 16) if small else (48, 64)
    order = layout(3, heads, rows, head, head, columns, 1)
    table.row("copy_strided heads before rows", ["copy_strided"],
              lambda: bench.call("copy_strided", code, out, x, order), moved=4 * size,
              peer=lambda: x.view(rows, heads, head).transpose(0, 1).contiguous())


def time_graphs(bench, table, small):
    """Many small calls, one by one and as a captured graph, which must repeat them exactly."""
    import torch

    from torch_side import DTYPES

    f32, calls = DTYPES["f32"], 10 if small else 200
    sums, ones = torch.zeros(1024), torch.ones(1024)

    def direct():
        for _ in range(calls):
            bench.call("accumulate", f32, sums, f32, ones, 1.0, 1024)

    needs = ["accumulate", "capture_begin", "graph_launch"]
    table.row(f"{calls} small calls, one by one", needs, direct)
    if not bench.library.has(*needs):
        return
    graph = ctypes.c_uint64()
    bench.call("capture_begin")
    direct()
    bench.call("capture_end", ctypes.addressof(graph))
    bench.wait()
    sums.zero_()
    bench.wait()
    launches = 3
    for _ in range(launches):
        bench.call("graph_launch", graph.value)
    bench.call("synchronize")
    right = bool((sums == launches * calls).all())
    table.row(f"{calls} small calls, as a graph{'' if right else ': WRONG SUMS'}", needs,
              lambda: bench.call("graph_launch", graph.value))
    bench.call("graph_destroy", graph.value)
