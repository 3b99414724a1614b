"""Whole training steps of the paper's smallest model in bf16, ReLU and TopK, beside PyTorch's."""

import argparse
import json
import os
import subprocess
import sys

from library import FOLDER, lacking_to_train, torch_or_reason
from results import note

# Dense bf16 of an H100 or H200, by NVIDIA's data sheet.
PEAK = 989.4e12
TARGET = 0.875


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


def report(name, lines, problem, tokens, flops):
    """Prints what the steps took, those near the target apart from the first ones."""
    steps = [line for line in lines if "ms" in line]
    if problem is not None:
        print(f"FAILED {name} after {len(steps)} steps: {problem}", flush=True)
        note("step", name=name, ok=False, problem=problem, steps=steps)
        if not steps:
            return
    memory = next((line for line in lines if "peak" in line), {})
    near = [line for line in steps[3:] if abs(line.get("sparsity", TARGET) - TARGET) < 0.03]
    for words, chosen in (("first", steps[1:4]), ("at the target", near)):
        if not chosen or (words == "first" and not near == [] and "sparsity" not in steps[0]):
            continue
        ms = median([line["ms"] for line in chosen])
        least = min(line["ms"] for line in chosen)
        rate = flops / ms * 1e3
        sparsity = f", sparsity {chosen[-1]['sparsity']:.3f}" if "sparsity" in chosen[-1] else ""
        print(f"{name}, {words} ({len(chosen)} steps{sparsity}): {ms:.1f} ms (least {least:.1f}), "
              f"{tokens / ms:.0f}k tokens/s, {rate / 1e12:.0f} TFLOPS by the formula, "
              f"{rate / PEAK:.1%} of peak", flush=True)
    losses = [steps[i]["loss"] for i in (0, len(steps) // 2, -1)] if steps else []
    print(f"  {len(steps)} steps, loss {', '.join(f'{each:.3f}' for each in losses)}, memory "
          f"{ {key: round(value / 2**30, 2) for key, value in memory.items()} } GiB", flush=True)
    note("step", name=name, ok=problem is None, tokens=tokens, flops=flops, memory=memory,
         steps=[{key: round(value, 5) if isinstance(value, float) else value
                 for key, value in line.items()} for line in steps])


def main():
    """Times remoe's steps, then PyTorch's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("folder")
    options = parser.parse_args()
    lacks = lacking_to_train()
    with open(f"{FOLDER}/182m.json", encoding="utf-8") as file:
        configs = json.load(file)
    for each in configs.values():
        if options.small:
            model, data = each["config"]["model"], each["config"]["data"]
            model.update(layers=2, hidden=32, heads=2, groups=1, ffn=128, vocabulary=257)
            data.update(batch=2, micro_batch=2, sequence=32)
    path = f"{options.folder}/182m.json"
    with open(path, "w", encoding="utf-8") as file:
        json.dump(configs, file)
    library = {"REMOE_LIBRARY": f"{FOLDER}/libremoe.so", "XDG_CACHE_HOME": options.folder}
    deno = [f"{FOLDER}/deno", "run", "-A", "--no-config", "--cached-only", f"{FOLDER}/steps.js"]
    for router, most in (("topk", 18), ("relu", 140)):
        data = configs[router]["config"]["data"]
        tokens = data["batch"] * data["sequence"]
        if lacks:
            print(f"skipped remoe {router}: the library lacks {', '.join(lacks)}")
            continue
        steps = "4" if options.small else str(most)
        lines, problem = lines_of([*deno, path, router, steps, f"{FOLDER}/text.jsonl.gz"], library)
        report(f"remoe {router}", lines, problem, tokens, configs[router]["flops"])
    torch, reason = torch_or_reason()
    if torch is None:
        print(f"skipped PyTorch: {reason}")
        return
    config = f"{options.folder}/config.json"
    with open(config, "w", encoding="utf-8") as file:
        json.dump(configs["topk"]["config"], file)
    for name, flags in (("autocast", []), ("all in bf16", ["--bf16"])):
        command = [sys.executable, f"{FOLDER}/peer_step.py", config, "3" if options.small else "12"]
        lines, problem = lines_of([*command, *flags])
        report(f"PyTorch topk, eager, grouped_mm, {name}", lines, problem, tokens,
               configs["topk"]["flops"])


if __name__ == "__main__":
    main()
