"""Whole training steps of the paper's models in bf16, the smallest beside PyTorch's.

step_times.py FOLDER [--larger]: with --larger, the others and the kernels' share of a step.
"""

import argparse
import json
import os
import subprocess
import sys

from library import FOLDER, lacking_to_train, torch_or_reason
from results import note

# Dense bf16 of an H100 or H200, by NVIDIA's data sheet.
PEAK = 989.4e12


def lines_of(command, environment=None):
    """The objects that a program prints; its complaint, if it fails."""
    result = subprocess.run(command, capture_output=True, text=True,
                            env={**os.environ, **(environment or {})})
    lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    problem = None if result.returncode == 0 else result.stderr.strip()[:600]
    return lines, problem


def median(values):
    """The middle value."""
    values = sorted(values)
    return values[len(values) // 2]


def report(name, lines, problem, tokens, flops, target):
    """Prints what the steps took, those near the target sparsity apart from denser ones."""
    steps = [line for line in lines if "ms" in line]
    if problem is not None:
        print(f"FAILED {name} after {len(steps)} steps: {problem}", flush=True)
        note("step", name=name, ok=False, problem=problem, steps=steps)
        if not steps:
            return
    memory = next((line for line in lines if "peak" in line), {})
    memory = {key: value for key, value in memory.items() if isinstance(value, (int, float))}
    near = [line for line in steps[3:] if abs(line.get("sparsity", target) - target) < 0.03]
    early = [line for line in steps[1:4] if abs(line.get("sparsity", target) - target) >= 0.03]
    for words, chosen in (("at first", early), ("at the target", near)):
        if not chosen:
            continue
        ms = median([line["ms"] for line in chosen])
        least = min(line["ms"] for line in chosen)
        rate = flops / ms * 1e3
        sparsity = f", sparsity {chosen[-1]['sparsity']:.3f}" if "sparsity" in chosen[-1] else ""
        print(f"{name}, {words} ({len(chosen)} steps{sparsity}): {ms:.1f} ms (least {least:.1f}), "
              f"{tokens / ms:.0f}k tokens/s, {rate / 1e12:.0f} TFLOPS by the formula, "
              f"{rate / PEAK:.1%} of peak", flush=True)
    losses = [steps[i]["loss"] for i in (0, len(steps) // 2, -1)] if steps else []
    last = f", λ {steps[-1]['lambda']:.1e}" if steps and steps[-1].get("lambda") else ""
    print(f"  {len(steps)} steps, loss {', '.join(f'{each:.3f}' for each in losses)}{last}, memory "
          f"{ {key: round(value / 2**30, 2) for key, value in memory.items()} } GiB", flush=True)
    note("step", name=name, ok=problem is None, tokens=tokens, flops=flops, memory=memory,
         steps=[{key: round(value, 5) if isinstance(value, float) else value
                 for key, value in line.items()} for line in steps])


def print_profile(lines):
    """Prints the kernels of a step, the longest first."""
    found = [line["profile"] for line in lines if line.get("profile")]
    if not found:
        return
    profile = found[0]
    entries = sorted(profile["entries"], key=lambda entry: -entry["ms"])
    print(f"\n  {profile['ms']:.1f} ms a step where each call is waited for:")
    for entry in entries[:28]:
        name = entry["kernel"] or "(TypeScript and calls)"
        print(f"  {entry['phase']:<10}{name:<28}{entry['calls']:>6.0f}{entry['ms']:>9.3f} ms"
              f"{entry['share']:>8.1%}")
    note("step profile", **profile)


class Steps:
    """Runs configurations of steps.json."""

    def __init__(self, folder, small):
        self.folder, self.small = folder, small
        with open(f"{FOLDER}/steps.json", encoding="utf-8") as file:
            self.configs = json.load(file)
        for each in self.configs.values() if small else ():
            model, data = each["config"]["model"], each["config"]["data"]
            model.update(layers=2, hidden=32, heads=2, groups=1, ffn=128, vocabulary=257)
            data.update(batch=2, micro_batch=2, sequence=32)
        self.path = f"{folder}/steps.json"
        with open(self.path, "w", encoding="utf-8") as file:
            json.dump(self.configs, file)

    def tokens(self, name):
        """Tokens of a step."""
        data = self.configs[name]["config"]["data"]
        return data["batch"] * data["sequence"]

    def report(self, words, name, lines, problem):
        """Reports the steps of a configuration."""
        config, flops = (self.configs[name][key] for key in ("config", "flops"))
        target = 1 - config["moe"]["active"] / config["moe"]["experts"]
        report(words, lines, problem, self.tokens(name), flops, target)

    def run(self, name, steps, *more):
        """Times a configuration's steps."""
        command = [f"{FOLDER}/deno", "run", "-A", "--no-config", "--cached-only",
                   f"{FOLDER}/steps.js", self.path, name, "4" if self.small else str(steps),
                   f"{FOLDER}/text.jsonl.gz", *more]
        lines, problem = lines_of(command, {
            "REMOE_LIBRARY": f"{FOLDER}/libremoe.so", "XDG_CACHE_HOME": self.folder})
        words = f"remoe {name}{', profiled' if more else ''}"
        self.report(words, name, lines, problem)
        print_profile(lines)
        self.compare(name, [line["loss"] for line in lines if "loss" in line])

    def compare(self, name, losses):
        """Compares the losses of a configuration with those of its last run, if there was one."""
        path = f"{self.folder}/{name}.losses.json"
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                before = json.load(file)
            both = min(len(before), len(losses))
            same = before[:both] == losses[:both]
            print(f"  {'equal' if same else 'OTHER'} losses in both runs, {both} steps", flush=True)
            note("step repeated", name=name, same=same, steps=both)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(losses, file)

    def peers(self, name):
        """Times PyTorch's steps of the same sizes."""
        config = f"{self.folder}/config.json"
        with open(config, "w", encoding="utf-8") as file:
            json.dump(self.configs[name]["config"], file)
        for words, flags in (("autocast", []), ("all in bf16", ["--bf16"])):
            command = [sys.executable, f"{FOLDER}/peer_step.py", config,
                       "3" if self.small else "12"]
            lines, problem = lines_of([*command, *flags])
            self.report(f"PyTorch {name}, eager, grouped_mm, {words}", name, lines, problem)


def main():
    """Times remoe's steps, then PyTorch's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--larger", action="store_true")
    parser.add_argument("folder")
    options = parser.parse_args()
    steps = Steps(options.folder, options.small)
    lacks = lacking_to_train()
    if lacks:
        print(f"skipped: the library lacks {', '.join(lacks)}")
        return
    if options.larger:
        steps.run("182m topk", 8, "profile")
        for name in ("182m topk E=32", "182m topk, 64 sequences", "469m topk", "978m topk"):
            steps.run(name, 12)
        return
    steps.run("182m topk", 18)
    steps.run("182m relu", 240)
    torch, reason = torch_or_reason()
    if torch is None:
        print(f"skipped PyTorch: {reason}")
    elif not options.small:
        steps.peers("182m topk")


if __name__ == "__main__":
    main()
