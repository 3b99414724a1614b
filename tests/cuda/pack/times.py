"""Times of each function against the bytes it must move and the copy bandwidth measured here.

Before every timed call stands a large copy: it keeps the device busy until the call's launches are
all enqueued, so that the host's time for them does not count, and leaves none of the inputs in L2.
"""

import argparse
import itertools
import statistics
from array import array

from library import LIBRARY, Buffer, Library, input_buffer, torch_or_reason

F32, GATE_RELU = 0, 0


class Stopwatch:
    """Medians of single calls, each between two events, after three warm-up calls."""

    def __init__(self, library, size, repeats):
        self.library, self.size, self.repeats = library, size, repeats
        self.source, self.target = Buffer(library, "b", size), Buffer(library, "b", size)

    def copy(self):
        """The large copy."""
        self.library.call("copy", self.target.address, self.source.address, self.size)

    def copy_little(self):
        """A copy of 4 bytes: the least time that a call can take."""
        self.library.call("copy", self.target.address, self.source.address, 4)

    def seconds(self, call):
        """The median time of a call."""
        for _ in range(3):
            call()
        pairs = [self.library.events(2) for _ in range(self.repeats)]
        for start, end in pairs:
            self.copy()
            self.library.call("event_record", start)
            call()
            self.library.call("event_record", end)
        return statistics.median(self.library.seconds(*pair) for pair in pairs)

    def bandwidth(self):
        """Bytes read and written per second by the large copy."""
        seconds = self.seconds(self.copy)
        return 2 * self.size / seconds if seconds > 0 else float("nan")


def product_rate(size=8192, repeats=10):
    """The rate of PyTorch's bf16 product of square matrices, or why it was not measured."""
    torch, reason = torch_or_reason()
    if torch is None:
        return f"skipped: {reason}"
    if not torch.cuda.is_available():
        return "skipped: PyTorch sees no GPU"
    # Random numbers: zeros draw less power, and would be multiplied at a higher clock.
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    times = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        a @ b
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return f"{2 * size**3 / statistics.median(times) / 1e12:.0f} TFLOP/s"


def calls(library, tokens, hidden, experts):
    """(name, bytes that must move, call) for each function; half of the gates are open."""
    pairs, words = tokens * experts, (experts + 31) // 32
    x = input_buffer(library, array("f", [1, -1, 0.5, -0.25]) * (tokens * hidden // 4))
    signs = array("f", [0.01 if e % 2 else -0.01 for e in range(experts)])
    w = input_buffer(library, signs + array("f", bytes(4 * (hidden - 1) * experts)))
    gates, mask = Buffer(library, "f", pairs), Buffer(library, "i", tokens * words)
    counts, sums = Buffer(library, "i", experts), Buffer(library, "f", experts)
    dgates, dlogits = (Buffer(library, "f", pairs) for _ in range(2))
    factor = input_buffer(library, array("d", [1.0]))
    plan = Buffer(library, "i", 6 + experts + tokens + 2 * pairs)
    inputs = tokens * hidden + hidden * experts
    results = pairs + tokens * words + 2 * experts
    yield "relu_router_forward", 4 * (inputs + results), lambda: library.call(
        "relu_router_forward", F32, gates.address, mask.address, counts.address, sums.address, x.address,
        w.address, tokens, hidden, experts, GATE_RELU)
    yield "relu_router_gradient", 12 * pairs, lambda: library.call(
        "relu_router_gradient", dlogits.address, dgates.address, gates.address, counts.address,
        0, factor.address, 2, GATE_RELU, 2.0, 1e-6, 0.0, tokens, experts)
    rows = plan_rows(gates)
    yield "dispatch_plan", 4 * (tokens * words + 6 + experts + tokens + 2 * rows), lambda: library.call(
        "dispatch_plan", plan.address, mask.address, tokens, experts, pairs)


def plan_rows(gates):
    """The number of rows in a plan for these gates."""
    return sum(gate != 0 for gate in gates.read())


def main():
    """Prints one Markdown table row per function and shape."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--library", default=LIBRARY, help="another build, to compare")
    options = parser.parse_args()
    small = options.small
    tokens, widths, repeats = (256, (64,), 3) if small else (16384, (768, 1536), 30)
    library = Library(options.library)
    watch = Stopwatch(library, (1 if small else 512) << 20, repeats)
    ceiling = watch.bandwidth()
    print(f"copy of {watch.size >> 20} MiB: {ceiling / 1e9:.1f} GB/s read and written", flush=True)
    print(f"copy of 4 bytes: {watch.seconds(watch.copy_little) * 1e6:.1f} µs", flush=True)
    product = "skipped: small shapes alone" if small else product_rate()
    print(f"bf16 product of 8192 x 8192 x 8192: {product}\n")
    print("| function | T, D, E | median µs | GB/s | share of the copy |")
    print("| --- | --- | ---: | ---: | ---: |")
    for hidden, experts in itertools.product(widths, (8, 32, 64, 128)):
        for name, moved, call in calls(library, tokens, hidden, experts):
            seconds = watch.seconds(call)
            rate = moved / seconds if seconds > 0 else float("nan")
            print(f"| {name} | {tokens}, {hidden}, {experts} | {seconds * 1e6:.1f} | "
                  f"{rate / 1e9:.1f} | {rate / ceiling:.2f} |", flush=True)
    library.close()


if __name__ == "__main__":
    main()
