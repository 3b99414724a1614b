"""Router, its gradient and the plan at a training step's sizes, against fp64 and PyTorch's fp32.

Every call runs twice, into poisoned outputs between guards, and must give the same bits.
"""

import argparse
import ctypes
import math
import random
from array import array

from library import Buffer, DeviceFailure, Library, input_buffer, torch_or_reason

UNIT_ROUNDOFF = 2.0**-24
LAMBDA, ACTIVE, SCALE, BALANCE_LOAD = 37.5, 2, 1 / 96, 2
F32, GATE_RELU = 0, 0


def normal(count, scale, seed, torch):
    """Normal fp32 numbers, deterministic for a seed and source."""
    if torch is None:
        generator = random.Random(seed)
        return array("f", (generator.gauss(0, scale) for _ in range(count)))
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(count, generator=generator) * scale
    result = array("f")
    result.frombytes(ctypes.string_at(values.data_ptr(), 4 * count))
    return result


def product(x, w, tokens, hidden, experts, torch):
    """x W in fp64, and how far PyTorch's fp32 is from it (None without PyTorch)."""
    if torch is None:
        columns = [w[e::experts] for e in range(experts)]
        rows = (x[t * hidden : (t + 1) * hidden] for t in range(tokens))
        dots = (math.fsum(map(float.__mul__, row, column))
                for row in map(list, rows) for column in columns)
        return array("d", dots), None
    device = "cuda" if torch.cuda.is_available() else "cpu"
    a = torch.frombuffer(x, dtype=torch.float32).view(tokens, hidden).to(device)
    b = torch.frombuffer(w, dtype=torch.float32).view(hidden, experts).to(device)
    exact = a.double() @ b.double()
    error = ((a @ b).double() - exact).abs().max().item()
    exact = exact.cpu().contiguous()
    result = array("d")
    result.frombytes(ctypes.string_at(exact.data_ptr(), 8 * tokens * experts))
    return result, error


def run_twice(library, name, outputs, call):
    """Calls into fresh poisoned outputs, (type, count) each, twice; returns the arrays."""
    results = []
    for _ in range(2):
        buffers = [Buffer(library, code, count) for code, count in outputs]
        call(*[buffer.address for buffer in buffers])
        results.append([buffer.read() for buffer in buffers])
        for buffer in buffers:
            buffer.free()
    for first, second in zip(*results):
        assert first.tobytes() == second.tobytes(), f"{name}: a second run gives other bits"
    return results[0]


def close(name, actual, expected, rtol, atol):
    """Asserts closeness, rejecting NaN; returns the largest error."""
    worst = 0.0
    for i, (a, b) in enumerate(zip(actual, expected, strict=True)):
        error = abs(a - b)
        assert error <= atol + rtol * abs(b), f"{name}[{i}] is {a}, expected {b}"
        worst = max(worst, error)
    return worst


def check_router(library, x, w, shape, torch):
    """relu_router_forward; gives gates, mask and counts for what follows."""
    tokens, hidden, experts = shape
    words = (experts + 31) // 32
    sizes = [("f", tokens * experts), ("i", tokens * words), ("i", experts), ("f", experts)]
    given = [input_buffer(library, values) for values in (x, w)]
    name = "relu_router_forward"
    gates, mask, counts, sums = run_twice(library, name, sizes, lambda *at: library.call(
        name, F32, *at, *[buffer.address for buffer in given], *shape, GATE_RELU))
    for buffer in given:
        buffer.free()
    exact, torch_error = product(x, w, tokens, hidden, experts, torch)
    atol = 4 * UNIT_ROUNDOFF * math.sqrt(hidden)
    worst = close("gates", gates, (max(z, 0.0) for z in exact), 8 * UNIT_ROUNDOFF, atol)
    # Activity is read from the gates themselves, which is exact however close to 0 a logit was.
    columns = [gates[e::experts] for e in range(experts)]
    assert list(counts) == [sum(g != 0 for g in column) for column in columns], "counts"
    close("gate_sums", sums, map(math.fsum, columns), 8 * UNIT_ROUNDOFF, 4 * UNIT_ROUNDOFF * tokens)
    for t in range(tokens):
        bits = sum(1 << e for e in range(experts) if gates[t * experts + e] != 0)
        for word in range(words):
            expected = bits >> (32 * word) & 0xFFFFFFFF
            assert mask[t * words + word] & 0xFFFFFFFF == expected, f"mask of token {t}"
    return gates, mask, counts, worst, torch_error


def check_gradient(library, gates, counts, dgates, tokens, experts):
    """relu_router_gradient with equation 10."""
    given = [input_buffer(library, v) for v in (dgates, gates, counts, array("d", [LAMBDA]))]
    name = "relu_router_gradient"
    dg, gate, count, factor = [buffer.address for buffer in given]
    (dlogits,) = run_twice(library, name, [("f", len(gates))], lambda at: library.call(
        name, at, dg, gate, count, 0, factor, BALANCE_LOAD, GATE_RELU, ACTIVE, SCALE, 0.0, tokens,
        experts))
    for buffer in given:
        buffer.free()
    penalty = [LAMBDA * SCALE * experts * n / (ACTIVE * tokens) for n in counts]
    expected = (d + penalty[i % experts] if gate > 0 else 0.0
                for i, (d, gate) in enumerate(zip(dgates, gates)))
    return close("dlogits", dlogits, expected, 8 * UNIT_ROUNDOFF, 8 * UNIT_ROUNDOFF)


def expected_plan(gates, tokens, experts, capacity):
    """The plan by its definition, -1 (the poison) where the contract leaves it open."""
    row_token, expert_offset, rows_of = [], [0], [[] for _ in range(tokens)]
    for e in range(experts):
        for t, gate in enumerate(gates[e::experts]):
            if gate != 0:
                rows_of[t].append(len(row_token))
                row_token.append(t)
        expert_offset.append(len(row_token))
    rows, token_offset = len(row_token), [0]
    for own in rows_of:
        token_offset.append(token_offset[-1] + len(own))
    header = [rows, int(rows > capacity), sum(not own for own in rows_of), capacity]
    spare = [-1] * (capacity - rows)
    token_row = [row for own in rows_of for row in own]
    return header + expert_offset + token_offset + row_token + spare + token_row + spare


def check_plan(library, gates, mask, tokens, experts):
    """dispatch_plan with room for all pairs."""
    capacity = tokens * experts
    given = input_buffer(library, mask)
    size = 4 + experts + 1 + tokens + 1 + 2 * capacity
    (plan,) = run_twice(library, "dispatch_plan", [("i", size)], lambda at: library.call(
        "dispatch_plan", at, given.address, tokens, experts, capacity))
    given.free()
    expected = array("i", expected_plan(gates, tokens, experts, capacity))
    if plan != expected:
        i = next(i for i, (a, b) in enumerate(zip(plan, expected)) if a != b)
        raise AssertionError(f"plan[{i}] is {plan[i]}, expected {expected[i]}")
    return plan[0]


def check_shape(library, shape, torch):
    """All three functions at one shape; prints a line."""
    tokens, hidden, experts = shape
    x = normal(tokens * hidden, 1, 1, torch)
    w = normal(hidden * experts, 1 / math.sqrt(hidden), 2, torch)
    gates, mask, counts, worst, torch_error = check_router(library, x, w, shape, torch)
    dgates = normal(tokens * experts, 1, 3, torch)
    gradient_error = check_gradient(library, gates, counts, dgates, tokens, experts)
    rows = check_plan(library, gates, mask, tokens, experts)
    beside = "no PyTorch" if torch_error is None else f"PyTorch fp32 {torch_error:.1e}"
    print(f"ok T={tokens} D={hidden} E={experts}: gates within {worst:.1e} of fp64 ({beside}), "
          f"gradient within {gradient_error:.1e}, {rows} rows planned, equal bits twice", flush=True)


def main():
    """Checks the shapes one by one; the exit status says whether all passed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    small = parser.parse_args().small
    # Small shapes skip PyTorch, whose kernels a sanitizer would check too.
    torch, reason = (None, "as asked") if small else torch_or_reason()
    if torch is None:
        print(f"references in Python, small shapes: {reason}")
    elif torch.cuda.is_available():
        torch.backends.cuda.matmul.allow_tf32 = False
    tokens, widths = (203, (48, 96)) if torch is None else (16384, (768, 1536))
    shapes = [(tokens, widths[0], experts) for experts in (8, 16, 33, 64, 128)]
    shapes += [(tokens, widths[1], experts) for experts in (32, 128)]
    library = Library()
    failures = 0
    for shape in shapes:
        try:
            check_shape(library, shape, torch)
        except (AssertionError, DeviceFailure) as error:
            failures += 1
            print(f"FAILED T, D, E = {shape}: {error}", flush=True)
    library.close()
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
