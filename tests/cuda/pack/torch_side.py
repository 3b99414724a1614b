"""PyTorch's memory for the library's calls: inputs, guarded outputs, comparison."""

import ctypes
import math

import torch

from library import DeviceFailure, Library
from results import note

DTYPES = {"f32": 0, "bf16": 1}
TORCH = {"f32": torch.float32, "bf16": torch.bfloat16}
TAIL = 1024  # guarding elements behind an output
BF16_ROUNDOFF, STEP = 2.0**-8, 2.0**-23


class Bench:
    """The library beside PyTorch, on one device."""

    def __init__(self):
        self.library = Library()
        self.on_gpu = self.library.build["backend"] == "cuda"
        self.device = torch.device("cuda" if self.on_gpu else "cpu")
        torch.set_default_device(self.device)
        torch.backends.cuda.matmul.allow_tf32 = False
        self.generator = torch.Generator(self.device).manual_seed(7)
        self.failures = []
        self.lacking = []

    def normal(self, *shape, scale=1.0, dtype="f32"):
        """Normal numbers."""
        values = torch.empty(*shape).normal_(0, scale, generator=self.generator)
        return values.to(TORCH[dtype])

    def uniform(self, *shape):
        """Uniform numbers in [0, 1)."""
        return torch.rand(*shape, generator=self.generator)

    def integers(self, below, *shape):
        """Random i32 numbers."""
        values = torch.randint(0, below, shape, generator=self.generator)
        return values.to(torch.int32)

    def memory(self, count, dtype):
        """Uninitialised memory; the emulator fills and copies within its own alone."""
        if self.on_gpu:
            return torch.empty(count, dtype=dtype)
        size = torch.empty(0, dtype=dtype).element_size()
        block = ctypes.c_uint64()
        self.library.call("memory_allocate", count * size, ctypes.byref(block))
        view = (ctypes.c_char * (count * size)).from_address(block.value)
        return torch.frombuffer(view, dtype=dtype)

    def empty(self, *shape, dtype=torch.float32):
        """An output without guards."""
        return self.memory(math.prod(shape), dtype).view(shape)

    def wait(self):
        """Waits for PyTorch: the library's stream does not."""
        if self.on_gpu:
            torch.cuda.synchronize()

    def call(self, name, *arguments):
        """Calls the library; tensors are passed as addresses, None as 0."""
        self.library.call(name, *(address(each) for each in arguments))

    def run(self, name, *arguments):
        """A call between two waits."""
        self.wait()
        self.call(name, *arguments)
        self.library.call("synchronize")

    def twice(self, shapes, call, before=()):
        """Makes a call into poisoned outputs, twice; returns them, and what is wrong besides."""
        runs = []
        for _ in range(2):
            outputs = [Guarded(self, *each) for each in shapes]
            for output, values in zip(outputs, before):
                if values is not None:
                    output.view.copy_(values)
            self.wait()
            call(*(output.view for output in outputs))
            self.library.call("synchronize")
            runs.append(outputs)
        problems = []
        for i, (first, second) in enumerate(zip(*runs)):
            if not torch.equal(first.bits(), second.bits()):
                problems.append(f"output {i}: a second run gives other bits")
            if not first.intact():
                problems.append(f"output {i}: wrote behind it")
        return [output.view for output in runs[0]], problems

    def check(self, label, needs, body):
        """Runs a check, body() -> (words, problems), unless the library lacks what it needs."""
        if not self.library.has(*needs):
            missing = [each for each in needs if not self.library.has(each)]
            print(f"lacking {label}: no {', '.join(missing)}", flush=True)
            self.lacking.append(label)
            return
        try:
            words, problems = body()
        except DeviceFailure as failure:
            words, problems = "", [str(failure)]
            if "gives status 4" in str(failure):
                print(f"declined {label}: {failure}", flush=True)
                self.lacking.append(label)
                return
            if "gives status 6" in str(failure):
                print(f"FAILED {label}: {failure}", flush=True)
                note("large", what=label, ok=False, problems=problems)
                raise SystemExit(1) from failure
        ok = not problems
        print(f"{'ok' if ok else 'FAILED'} {label}: {words}{'; ' if problems else ''}"
              f"{'; '.join(problems)}", flush=True)
        note("large", what=label, ok=ok, words=words, problems=problems)
        if not ok:
            self.failures.append(label)


def address(value):
    """A call's argument."""
    if value is None:
        return 0
    return value.data_ptr() if isinstance(value, torch.Tensor) else value


class Guarded:
    """An output that starts as NaN, or -1, with a guard behind."""

    def __init__(self, bench, shape, dtype):
        count = 1
        for size in shape:
            count *= size
        self.raw = bench.memory(count + TAIL, dtype)
        self.bits().fill_(-1)
        self.view = self.raw[:count].view(shape)

    def bits(self):
        """The whole buffer as integers."""
        size = self.raw.element_size()
        return self.raw.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[size])

    def intact(self):
        """Whether the guard is."""
        return bool((self.bits()[-TAIL:] == -1).all())


class Errors:
    """Collects an operation's errors, and what exceeds a limit."""

    def __init__(self, problems):
        self.words, self.problems = [], list(problems)

    def near(self, name, actual, exact, rms, worst, *, by_row=False):
        """Errors relative to the exact result's root mean square, and to |exact| + that.

        By row, the worst is relative to the row's: attention's first rows are far larger.
        """
        exact = exact.double()
        size = exact.square().mean().sqrt().clamp_min(1e-30)
        error = (actual.double() - exact).abs()
        a = (error.square().mean().sqrt() / size).item()
        if by_row:
            size = exact.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-30)
        b = (error / (exact.abs() + size)).max().item()
        self.words.append(f"{name} {a:.1e} (worst {b:.1e})")
        if not (a <= rms and b <= worst):  # also where NaN
            self.problems.append(f"{name}: more than {rms:.0e} or {worst:.0e}")

    def within(self, name, actual, exact, bound):
        """Errors as a share of each element's bound."""
        share = ((actual.double() - exact).abs() / bound.clamp_min(1e-300)).max().item()
        self.words.append(f"{name} {share:.2f} of the bound")
        if not share <= 1:
            self.problems.append(f"{name}: beyond the bound")

    def equal(self, name, actual, expected):
        """Bits must be equal."""
        if not torch.equal(actual, expected):
            count = int((actual != expected).sum())
            self.problems.append(f"{name}: {count} elements differ")

    def result(self):
        """Words and problems for Bench.check."""
        return ", ".join(self.words), self.problems


def rounded(values, dtype):
    """Doubles rounded to the type."""
    return values.to(TORCH[dtype]).double() if dtype == "bf16" else values
