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
import threading
import time

FOLDER = os.path.dirname(os.path.abspath(__file__))
PARTS = (
    "facts", "cases", "large", "times", "memcheck", "racecheck", "synccheck", "initcheck")


def unpacked_deno():
    """The packed Deno, unpacked if necessary."""
    path = os.path.join(FOLDER, "deno")
    if not os.path.exists(path):
        with lzma.open(f"{path}.xz") as source, open(f"{path}.part", "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        os.replace(f"{path}.part", path)
    os.chmod(path, 0o755)
    return path


def sanitizer(tool, emulated):
    """The compute-sanitizer command, or the reason there is none."""
    if emulated:
        return None, "compute-sanitizer sees GPUs alone; the emulator has a checker of its own"
    toolkit = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    command = shutil.which("compute-sanitizer", path=f"{os.environ['PATH']}:{toolkit}/bin")
    if command is None:
        return None, "compute-sanitizer is not installed"
    checked = script("large_shapes", "--small")
    return [command, "--tool", tool, "--error-exitcode", "9", *checked], None


def script(name, *options):
    """The command for a script of the pack."""
    return [sys.executable, "-u", f"{FOLDER}/{name}.py", *options]


def parts(emulated):
    """(name, seconds, command or None, reason for None), most valuable first."""
    small = ["--small"] if emulated else []
    yield "facts", 40, script("facts"), None
    deno = [unpacked_deno(), "run", "-A", "--no-config", "--cached-only"]
    yield "cases", 90, [*deno, f"{FOLDER}/cases.js", f"{FOLDER}/libremoe.so"], None
    yield "large", 120, script("large_shapes", *small), None
    yield "times", 60, script("times", *small), None
    tools = {"memcheck": 80, "racecheck": 90, "synccheck": 30, "initcheck": 30}
    for tool, seconds in tools.items():
        yield (tool, seconds, *sanitizer(tool, emulated))


class Log:
    """Writes everything to both the terminal and the file."""

    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self.date = datetime.datetime.now(datetime.timezone.utc)
        self.path = os.path.join(folder, f"{self.date:%Y-%m-%d-%H%M}.md")
        self.file = open(self.path, "w", encoding="utf-8")

    def write(self, text):
        """Writes a text unchanged."""
        sys.stdout.write(text)
        self.file.write(text)
        self.file.flush()


def run(log, command, seconds):
    """Runs a part, passing its output on line by line; returns its outcome and output."""
    settings = {"DENO_DIR": f"{FOLDER}/cache", "DENO_NO_UPDATE_CHECK": "1", "NO_COLOR": "1"}
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env={**os.environ, **settings}, start_new_session=True)
    late = threading.Event()

    def stop():
        late.set()
        os.killpg(child.pid, signal.SIGKILL)

    timer = threading.Timer(seconds, stop)
    timer.start()
    lines = []
    for line in child.stdout:
        lines.append(line)
        log.write(line)
    status = child.wait()
    timer.cancel()
    if late.is_set():
        return f"FAILED: stopped after {seconds} s", lines
    return "ok" if status == 0 else f"FAILED: exit status {status}", lines


def device_name(lines):
    """The library's name for the device, or a note that there is none."""
    for line in lines:
        found = re.match(r"device: (\{.*\})", line)
        if found:
            return json.loads(found.group(1))["name"]
    return "none"


def run_all(log, emulated, wanted):
    """Runs the parts; returns the device's name, and (part, outcome, seconds) for each."""
    rows, device = [], None
    for name, seconds, command, reason in parts(emulated):
        if wanted is not None and name not in wanted:
            command, reason = None, "not asked for"
        elif device == "none":
            command, reason = None, "the library has no device here"
        log.write(f"\n## {name}\n\n")
        start = time.monotonic()
        outcome = f"skipped: {reason}"
        if command is not None:
            log.write("```text\n")
            outcome, lines = run(log, command, seconds)
            log.write("```\n\n")
            if name == "facts":
                device = device_name(lines)
        rows.append((name, outcome, time.monotonic() - start))
        log.write(f"{outcome} ({rows[-1][2]:.1f} s)\n")
    return device or "not asked", rows


def main():
    """Runs the requested parts; the exit status says whether all of them passed."""
    parser = argparse.ArgumentParser(prog="run.sh", description=__doc__)
    out = os.environ.get("OUT", ".")
    parser.add_argument("--out", default=out, help="folder of the log [$OUT, else .]")
    parser.add_argument("--only", help=f"parts by commas, of {','.join(PARTS)}")
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
    device, rows = run_all(log, emulated, wanted)
    log.write(f"\n## Summary\n\nDevice: {device}\n\n")
    log.write("| part | outcome | seconds |\n| --- | --- | ---: |\n")
    for name, outcome, elapsed in rows:
        log.write(f"| {name} | {outcome} | {elapsed:.1f} |\n")
    print(f"\nThe log is {log.path}")
    raise SystemExit(1 if any(outcome.startswith("FAILED") for _, outcome, _ in rows) else 0)


if __name__ == "__main__":
    main()
