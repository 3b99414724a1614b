"""Describes the machine: device, driver, compilers, PyTorch, and the packed library."""

import json
import os
import platform
import shutil
import subprocess

from library import FOLDER, DeviceFailure, Library, torch_or_reason


def output(*command):
    """The output of a command, or a note that it is missing."""
    if shutil.which(command[0]) is None:
        return f"{command[0]} is not installed"
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except subprocess.TimeoutExpired:
        return f"{command[0]} does not answer"
    return (result.stdout or result.stderr).strip()


def main():
    """Prints the facts, the device first, since the other parts depend on it."""
    with open(os.path.join(FOLDER, "pack.json"), encoding="utf-8") as file:
        print(f"pack: {json.dumps(json.load(file))}")
    try:
        library = Library()
        print(f"library: {json.dumps(library.build)}")
        print(f"device: {json.dumps(library.info())}", flush=True)
        library.close()
        status = 0
    except DeviceFailure as failure:
        print(failure, flush=True)
        status = 1
    python = platform.python_version()
    print(f"machine: {platform.platform()}, {os.cpu_count()} CPUs, Python {python}")
    fields = "name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,power.limit"
    print(f"nvidia-smi: {output('nvidia-smi', f'--query-gpu={fields}', '--format=csv,noheader')}")
    print(f"nvcc: {output('nvcc', '--version').splitlines()[-1]}")
    torch, reason = torch_or_reason()
    print(f"PyTorch: {reason if torch is None else torch.__version__}", flush=True)
    raise SystemExit(status)


if __name__ == "__main__":
    main()
