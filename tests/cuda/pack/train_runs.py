"""Trains small models by the command line, beside the CPU library's runs of the same seed.

With --cpu trains those: at the same time, from the start, since they take longest.
"""

import argparse
import concurrent.futures
import filecmp
import glob
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field

from library import FOLDER, lacking_to_train
from results import note

ROUTERS = ("relu", "topk", "sigmoid", "hash", "expert-choice", "sparsemixer", "lory", "dense")
SHOWN = (1, 2, 5, 10, 20, 50, 100, 200, 300)
WORKERS = 4
TARGET = 0.875


@dataclass(frozen=True)
class Run:
    """A run of `train`."""

    name: str
    preset: str
    steps: int
    settings: dict = field(default_factory=dict)

    def command(self, folder):
        """The command line."""
        settings = {
            "checkpoint.every": 0, "sample.every": 0, "validation.every": 100,
            "data.cache": f"{folder}/cache", **self.settings}
        pairs = (part for key, value in settings.items() for part in ("--set", f"{key}={value}"))
        return [*deno("train"), "--preset", self.preset, "--steps", str(self.steps), "--seed", "1",
                "--data", f"{FOLDER}/text.jsonl.gz", "--out", f"{folder}/{self.name}", *pairs]


def deno(name):
    """The command for a bundled program."""
    return [f"{FOLDER}/deno", "run", "-A", "--no-config", "--cached-only", f"{FOLDER}/{name}.js"]


def environment(library):
    """The environment that chooses a library; the CPU's may need the packed OpenMP."""
    chosen = {**os.environ, "REMOE_LIBRARY": f"{FOLDER}/{library}"}
    if library == "libremoe_cpu.so":
        chosen["LD_LIBRARY_PATH"] = f"{FOLDER}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    return chosen


def metrics(folder, name):
    """The steps and the validations of a run."""
    try:
        with open(f"{folder}/{name}/metrics.jsonl", encoding="utf-8") as file:
            lines = [json.loads(line) for line in file if line.endswith("\n")]
    except FileNotFoundError:
        lines = []
    steps = {line["step"]: line for line in lines if "loss" in line}
    return steps, [line for line in lines if "valid_loss" in line]


def small_settings():
    """A model that the emulator steps through in a second."""
    return {"data.batch": 2, "data.sequence": 32, "model.hidden": 32, "schedule.warmup": 1,
            "validation.batches": 1, "sample.tokens": 4}


def nano_runs(small):
    """The runs to hold beside the CPU's, by router and type."""
    preset, steps = ("pico", 4) if small else ("nano", 300)
    more = small_settings() if small else {}
    for router in ("relu", "topk"):
        for dtype in ("f32", "bf16"):
            settings = {"moe.router": router, "model.dtype": dtype, **more}
            yield Run(f"{preset}-{router}-{dtype}", preset, steps, settings)


def pico_runs(small):
    """A run of every router, and of the ReLU router's kinds."""
    steps = 2 if small else 300
    more = small_settings() if small else {}
    kinds = [(router, {"moe.router": router}) for router in ROUTERS]
    kinds += [
        (f"relu-{name}", {"moe.router": "relu", **extra})
        for name, extra in (
            ("transport", {"moe.balance": "transport"}),
            ("squared", {"moe.activation": "relu-squared"}),
            ("g4-shared", {"moe.granularity": 4, "moe.shared": 1}))]
    # The emulator's test of training has every router.
    for name, settings in kinds[:2] if small else kinds:
        yield Run(f"pico-{name}", "pico", steps, {"model.dtype": "f32", **settings, **more})
    yield Run("pico-bf16", "pico", steps,
              {"moe.router": "relu", "model.dtype": "bf16", **more})


def train(run, folder, library="libremoe.so"):
    """Trains; returns the seconds it took and what it complained of, if anything."""
    start = time.monotonic()
    result = subprocess.run(
        run.command(folder), env=environment(library), capture_output=True, text=True)
    problem = None if result.returncode == 0 else result.stderr.strip()[-900:]
    return time.monotonic() - start, problem


def median(values):
    """The middle value; NaN of none."""
    values = sorted(values)
    return values[len(values) // 2] if values else float("nan")


def describe(run, folder, seconds, problem):
    """Prints a run's line; returns whether it went well."""
    steps, validations = metrics(folder, run.name)
    last = steps.get(run.steps)
    if problem is not None or last is None:
        print(f"FAILED {run.name}: {problem or 'it ended early'}".replace("\n", "; "), flush=True)
        note("train", run=run.name, ok=False, problem=problem, steps=len(steps))
        return False
    tail = [steps[i] for i in range(max(1, run.steps - 19), run.steps + 1)]
    loss = sum(line["loss"] for line in tail) / len(tail)
    ms = median([line["ms"] for line in tail])
    sparsity = sum(line["sparsity"] for line in tail) / len(tail)
    valid = validations[-1]["valid_loss"] if validations else None
    shown = "none" if valid is None else f"{valid:.4f}"
    print(f"ok {run.name}: {run.steps} steps in {seconds:.1f} s, {ms:.2f} ms a step "
          f"({last['tokens'] / run.steps / ms:.0f}k tokens/s), loss of the last 20 {loss:.4f}, "
          f"validation {shown}, sparsity {sparsity:.3f}, λ {last['lambda']:.2e}, "
          f"{last['memory_bytes'] / 2**20:.0f} MiB", flush=True)
    note("train", run=run.name, ok=True, seconds=seconds, ms=ms, loss=loss, valid=valid,
         sparsity=sparsity, memory=last["memory_bytes"],
         losses=[round(steps[i]["loss"], 6) for i in sorted(steps)],
         sparsities=[round(steps[i]["sparsity"], 4) for i in sorted(steps)],
         ms_each=[round(steps[i]["ms"], 3) for i in sorted(steps)][:50])
    return True


def compare(folder, runs, cpu_folder):
    """Prints the losses of runs beside those of the CPU's."""
    if os.path.exists(f"{cpu_folder}/problem.txt"):
        with open(f"{cpu_folder}/problem.txt", encoding="utf-8") as file:
            print(f"the CPU library: {file.read().strip()}")
    names = [run.name for run in runs]
    columns = {name: metrics(folder, name)[0] for name in names}
    for run in runs:
        if run.name.endswith("-f32"):
            columns[f"CPU {run.name}"] = metrics(cpu_folder, run.name)[0]
    print(f"\n| step | {' | '.join(columns)} |\n| ---: |{' ---: |' * len(columns)}")
    for step in SHOWN:
        cells = [f"{each[step]['loss']:.4f}" if step in each else "" for each in columns.values()]
        if any(cells):
            print(f"| {step} | {' | '.join(cells)} |")
    for run in runs:
        base = columns.get(f"CPU {run.name.replace('bf16', 'f32')}", {})
        both = sorted(set(base) & set(columns[run.name]))
        if not both:
            continue
        differences = [abs(base[i]["loss"] - columns[run.name][i]["loss"]) for i in both]
        early = max(differences[:5])
        print(f"{run.name} and the CPU's f32: losses of the first 5 steps within {early:.1e}, "
              f"of all {len(both)} within {max(differences):.1e}, "
              f"mean {sum(differences) / len(both):.1e}", flush=True)
        note("train beside CPU", run=run.name, steps=len(both), first5=early,
             largest=max(differences), cpu_losses=[round(base[i]["loss"], 6) for i in both])


def killed_and_resumed(folder, small):
    """Kills a run in the middle, resumes it, and compares it with one that was left alone."""
    steps, every, kill = (6, 2, 3) if small else (150, 50, 70)
    more = small_settings() if small else {}
    settings = {**more, "model.dtype": "bf16", "checkpoint.every": every}
    whole, broken = (Run(name, "pico", steps, settings) for name in ("whole", "broken"))
    seconds, problem = train(whole, folder)
    if problem is not None:
        return describe(whole, folder, seconds, problem)
    child = subprocess.Popen(broken.command(folder), env=environment("libremoe.so"),
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while child.poll() is None:
        written = metrics(folder, "broken")[0]
        checkpoints = glob.glob(f"{folder}/broken/checkpoints/step-*/state.json")
        if checkpoints and max(written, default=0) >= kill:
            break
        time.sleep(0.002)
    at = max(metrics(folder, "broken")[0], default=0)
    child.send_signal(signal.SIGKILL)
    child.wait()
    resumed = subprocess.run([*deno("train"), "--resume", f"{folder}/broken"],
                             env=environment("libremoe.so"), capture_output=True, text=True)
    if resumed.returncode != 0:
        print(f"FAILED resume: {resumed.stderr.strip()[-600:]}", flush=True)
        return False
    one, other = (metrics(folder, name)[0] for name in ("whole", "broken"))
    losses = [i for i in one if one[i]["loss"] != other.get(i, {}).get("loss")]
    newest = f"checkpoints/step-{steps:06d}"
    files = [name for name in ("model.safetensors", "optimizer.safetensors")
             if not filecmp.cmp(f"{folder}/whole/{newest}/{name}", f"{folder}/broken/{newest}/{name}",
                                shallow=False)]
    ok = not losses and not files
    words = "bit for bit the run left alone" if ok else f"differs: steps {losses[:5]}, files {files}"
    print(f"{'ok' if ok else 'FAILED'} resume: killed at step {at} of {steps}, resumed: {words}",
          flush=True)
    note("resume", ok=ok, killed=at, steps=losses, files=files)
    return ok


def generated(folder, run):
    """Continues a text with a trained model."""
    command = [*deno("generate"), "--run", f"{folder}/{run.name}", "--prompt", "The State of the Union",
               "--tokens", "200" if run.preset == "nano" else "8", "--temperature", "0.7"]
    start = time.monotonic()
    result = subprocess.run(command, env=environment("libremoe.so"), capture_output=True, text=True)
    ok = result.returncode == 0
    text = (result.stdout if ok else result.stderr).strip()[-600:]
    print(f"{'ok' if ok else 'FAILED'} generate with {run.name} in "
          f"{time.monotonic() - start:.1f} s:\n{text}", flush=True)
    note("generate", ok=ok, text=text)
    return ok


def complain(folder, problem):
    """Notes why the CPU library does not train, for the other process."""
    with open(f"{folder}/problem.txt", "a", encoding="utf-8") as file:
        file.write(f"{problem}\n")


def train_cpu(folder, small):
    """The CPU library's runs."""
    os.makedirs(folder, exist_ok=True)
    if not os.path.exists(f"{FOLDER}/libremoe_cpu.so"):
        complain(folder, "none is packed")
        return
    threads = max(1, (os.cpu_count() or 1) - 6)
    for run in nano_runs(small):
        if run.name.endswith("-f32"):
            settings = {**run.settings, "threads": threads}
            beside = Run(run.name, run.preset, run.steps, settings)
            _, problem = train(beside, folder, "libremoe_cpu.so")
            if problem is not None:
                complain(folder, problem)


def wait_for_cpu(runs, folder, seconds):
    """Waits for the CPU's runs, if there are any."""
    end = time.monotonic() + seconds
    if not os.path.isdir(folder):
        return
    for run in runs:
        while time.monotonic() < end and run.name.endswith("-f32"):
            if run.steps in metrics(folder, run.name)[0]:
                break
            time.sleep(0.2)


def main():
    """Trains, compares, resumes and generates; the exit status says whether all went well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("folder")
    options = parser.parse_args()
    folder, small = options.folder, options.small
    cpu_folder = f"{folder}/cpu"
    if options.cpu:
        return train_cpu(cpu_folder, small)
    lacks = lacking_to_train()
    if lacks:
        print(f"skipped: the library lacks {', '.join(lacks)}")
        return None
    doctor = subprocess.run(deno("doctor"), env=environment("libremoe.so"), capture_output=True,
                            text=True)
    print(f"{(doctor.stdout + doctor.stderr).strip()}\n", flush=True)
    nano = list(nano_runs(small))
    runs = list(pico_runs(small))
    # nano by itself, for its times; then several at once.
    good = [describe(run, folder, *train(run, folder)) for run in nano]
    print(flush=True)
    with concurrent.futures.ThreadPoolExecutor(1 if small else WORKERS) as pool:
        jobs = [(run, pool.submit(train, run, folder)) for run in runs]
        resumed = pool.submit(killed_and_resumed, folder, small)
        good += [describe(run, folder, *job.result()) for run, job in jobs]
        good.append(resumed.result())
    good.append(generated(folder, nano[0]))
    wait_for_cpu(nano, cpu_folder, 20)
    compare(folder, nano, cpu_folder)
    raise SystemExit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
