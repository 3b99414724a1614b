"""Runs the packed tests part by part, each under a time limit, and writes a log as it goes."""

import argparse
import datetime
import json
import lzma
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

FOLDER = os.path.dirname(os.path.abspath(__file__))
SANITIZERS = ("memcheck", "racecheck", "synccheck", "initcheck")


@dataclass(frozen=True)
class Part:
    """A part: commands that run at the same time, or the reason why there are none."""

    name: str
    seconds: int  # at most
    least: int  # not begun with less time left
    commands: tuple = ()
    reason: str | None = None


def unpacked(name):
    """A packed file, unpacked if necessary."""
    path = os.path.join(FOLDER, name)
    if not os.path.exists(path) and os.path.exists(f"{path}.xz"):
        with lzma.open(f"{path}.xz") as source, open(f"{path}.part", "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        os.replace(f"{path}.part", path)
    if os.path.exists(path):
        os.chmod(path, 0o755)
    return path


def deno(name, *arguments):
    """The command for a bundled program."""
    return [unpacked("deno"), "run", "-A", "--no-config", "--cached-only", f"{FOLDER}/{name}.js",
            *arguments]


def script(name, *options):
    """The command for a script of the pack."""
    return [sys.executable, "-u", f"{FOLDER}/{name}.py", *options]


def sanitizer(tool, seconds, emulated):
    """A part of compute-sanitizer on a few cases of each operation."""
    if emulated:
        reason = "compute-sanitizer sees GPUs alone; the emulator has a checker of its own"
        return Part(tool, seconds, 5, reason=reason)
    toolkit = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    command = shutil.which("compute-sanitizer", path=f"{os.environ['PATH']}:{toolkit}/bin")
    if command is None:
        return Part(tool, seconds, 5, reason="compute-sanitizer is not installed")
    # initcheck does not see what bulk copies write, which the products of tensor cores end in.
    path = ["env", "REMOE_CUDA_GEMM=mma"] if tool == "initcheck" else []
    checked = [*path, command, "--tool", tool, "--error-exitcode", "9", "--print-limit", "20"]
    return Part(tool, seconds, 5, ([*checked, *deno("cases", f"{FOLDER}/libremoe.so", "once")],))


def shards_of(share, emulated):
    """The shares of the case list that processes take beside each other."""
    if share is not None:
        return [share]
    count = 1 if emulated else min(8, os.cpu_count() or 1)
    return [f"{shard}/{count}" for shard in range(count)]


def parts(emulated, share, scratch):
    """The parts, most valuable first."""
    small = ["--small"] if emulated else []
    library = unpacked("libremoe.so")
    if not os.path.exists(library):
        yield Part("build", 150, 0, (script("build_library", library),))
    yield Part("facts", 30, 0, (script("facts"),))
    yield Part("cases", 200 if emulated else 45, 5, tuple(
        deno("cases", library, shard) for shard in shards_of(share, emulated)))
    yield Part("large", 90, 10, (script("large_shapes", *small), script("large_model", *small)))
    yield Part("train", 600 if emulated else 75, 15, (script("train_runs", *small, scratch),))
    yield Part("times", 45, 10, (script("times_model", *small),))
    yield Part("step", 90, 15, (script("step_times", *small, scratch),))
    yield Part("larger", 90, 15, (script("step_times", "--larger", *small, scratch),))
    yield sanitizer("memcheck", 40, emulated)
    yield sanitizer("racecheck", 40, emulated)
    yield sanitizer("synccheck", 20, emulated)
    yield sanitizer("initcheck", 20, emulated)
    yield Part("routing times", 40, 10, (script("times", *small),))


PARTS = ("build", "facts", "cases", "large", "train", "times", "step", "larger", *SANITIZERS, "routing times")


class Log:
    """Writes everything to both the terminal and the file."""

    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self.date = datetime.datetime.now(datetime.timezone.utc)
        self.path = os.path.join(folder, f"{self.date:%Y-%m-%d-%H%M}.md")
        self.file = open(self.path, "w", encoding="utf-8")

    def write(self, text):
        """Writes a text, without the path of this pack: logs are kept."""
        text = text.replace(f"{FOLDER}/", "")
        sys.stdout.write(text)
        sys.stdout.flush()
        self.file.write(text)
        self.file.flush()


class Child:
    """A running command, in a process group of its own; its output goes to a file."""

    def __init__(self, command, environment):
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT,
            env=environment, start_new_session=True)

    def stop(self):
        """Ends the command and all that it started."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def text(self):
        """The output so far."""
        self.output.seek(0)
        return self.output.read().decode("utf-8", "replace")


def run(log, part, seconds, environment):
    """Runs a part's commands at the same time; returns its outcome and its output."""
    children = [Child(command, environment) for command in part.commands]
    end = time.monotonic() + seconds
    late = []
    texts = []
    for child in children:
        try:
            child.process.wait(max(0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            late.append(child)
        child.stop()
        child.process.wait()
        text = child.text()
        log.write(text if text.endswith("\n") or text == "" else f"{text}\n")
        texts.append(text)
    if late:
        return f"FAILED: stopped after {seconds:.0f} s", "".join(texts)
    statuses = sorted({child.process.returncode for child in children} - {0})
    outcome = "ok" if not statuses else f"FAILED: exit status {', '.join(map(str, statuses))}"
    return outcome, "".join(texts)


def device_name(text):
    """The library's name for the device, or a note that there is none."""
    found = re.search(r"^device: (\{.*\})$", text, re.MULTILINE)
    return json.loads(found.group(1))["name"] if found else "none"


class Runner:
    """Runs the parts within a budget of time."""

    def __init__(self, log, wanted, budget, environment):
        self.log, self.wanted, self.environment = log, wanted, environment
        self.end = time.monotonic() + budget
        self.device = None
        self.rows = []

    def why_not(self, part):
        """Why a part is not run, or None."""
        if self.wanted is not None and part.name not in (*self.wanted, "build"):
            return "not asked for"
        if self.device == "none":
            return "the library has no device here"
        if part.reason is not None:
            return part.reason
        left = self.end - time.monotonic()
        return f"{left:.0f} s are left, it takes {part.least}" if left < part.least else None

    def run(self, part):
        """Runs or skips a part, and logs it."""
        log = self.log
        log.write(f"\n## {part.name}\n\n")
        start = time.monotonic()
        reason = self.why_not(part)
        outcome = f"skipped: {reason}"
        if reason is None:
            log.write("```text\n")
            seconds = max(1, min(part.seconds, self.end - start))
            outcome, text = run(log, part, seconds, self.environment)
            log.write("```\n\n")
            if part.name == "facts":
                self.device = device_name(text)
            if part.name == "build" and outcome == "ok":
                shutil.copyfile(f"{FOLDER}/libremoe.so", f"{os.path.dirname(log.path)}/libremoe.so")
        self.rows.append((part.name, outcome, time.monotonic() - start))
        log.write(f"{outcome} ({self.rows[-1][2]:.1f} s)\n")

    def summary(self):
        """The table at the end of the log."""
        log = self.log
        log.write(f"\n## Summary\n\nDevice: {self.device or 'not asked'}\n\n")
        log.write("| part | outcome | seconds |\n| --- | --- | ---: |\n")
        for name, outcome, elapsed in self.rows:
            log.write(f"| {name} | {outcome} | {elapsed:.1f} |\n")


def main():
    """Runs the requested parts; the exit status says whether all of them passed."""
    parser = argparse.ArgumentParser(prog="run.sh", description=__doc__)
    out = os.environ.get("OUT", ".")
    parser.add_argument("--out", default=out, help="folder of the log [$OUT, else .]")
    parser.add_argument("--only", help=f"parts by commas, of {','.join(PARTS)}")
    parser.add_argument("--budget", type=float, default=900, metavar="SECONDS",
                        help="seconds for all parts together; the last are skipped [900]")
    parser.add_argument("--share", metavar="I/N",
                        help="of the cases, every N-th from the I-th, counted from 0 [all]")
    options = parser.parse_args()
    wanted = None if options.only is None else options.only.split(",")
    unknown = sorted(set(wanted or ()) - set(PARTS))
    if unknown:
        parser.error(f"no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}")
    with open(f"{FOLDER}/pack.json", encoding="utf-8") as file:
        emulated = json.load(file)["backend"] == "emulated"
    log = Log(options.out)
    kind = "the emulator: no GPU took part" if emulated else "a GPU"
    log.write(f"# Packed tests on {kind}, {log.date:%Y-%m-%d %H:%M} UTC\n")
    environment = {
        **os.environ, "DENO_DIR": f"{FOLDER}/cache", "DENO_NO_UPDATE_CHECK": "1", "NO_COLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore",
        "REMOE_RESULTS": log.path.removesuffix(".md") + ".jsonl",
    }
    environment.pop("REMOE_LIBRARY", None)
    with tempfile.TemporaryDirectory(prefix="remoe_pack") as scratch:
        runner = Runner(log, wanted, options.budget, environment)
        reference = None
        unpacked("deno")
        unpacked("libremoe_cpu.so")
        if wanted is None or "train" in wanted:
            small = ["--small"] if emulated else []
            reference = Child(script("train_runs", "--cpu", *small, scratch), environment)
        try:
            for part in parts(emulated, options.share, scratch):
                runner.run(part)
        finally:
            if reference is not None:
                reference.stop()
                reference.process.wait()
        runner.summary()
    print(f"\nThe log is {log.path}")
    failed = any(outcome.startswith("FAILED") for _, outcome, _ in runner.rows)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
