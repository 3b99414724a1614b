"""Builds the CUDA library from the packed sources with this machine's nvcc, for this device alone.

build_library.py LIBRARY: quicker than elsewhere where there are many cores.
"""

import concurrent.futures
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

from library import FOLDER


def without_errors(flags):
    """The flags without those that turn warnings into errors: another compiler has others."""
    pairs = iter(flags)
    kept = []
    for flag in pairs:
        if flag in ("-Werror", "-Xptxas"):
            next(pairs)
        else:
            kept.append(flag)
    return kept


def main():
    """Compiles all sources at once, and links."""
    target = sys.argv[1]
    start = time.monotonic()
    toolkit = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    nvcc = shutil.which("nvcc", path=f"{os.environ['PATH']}:{toolkit}/bin")
    if nvcc is None:
        raise SystemExit("nvcc is not installed")
    with open(f"{FOLDER}/flags.json", encoding="utf-8") as file:
        flags = json.load(file)
    compile_flags = without_errors(flags["compile"])
    cuda = f"{FOLDER}/kernels/cuda"
    sources = glob.glob(f"{cuda}/**/*.cu", recursive=True)
    architecture = ["-gencode", "arch=compute_90a,code=sm_90a"]
    with tempfile.TemporaryDirectory() as work:

        def compile_one(item):
            i, source = item
            begun = time.monotonic()
            command = [nvcc, "-I", cuda, *architecture, *compile_flags, "-c", source, "-o",
                       f"{work}/{i}.o"]
            result = subprocess.run(command, capture_output=True, text=True)
            return source, time.monotonic() - begun, result

        # The largest first: they take longest.
        sources.sort(key=os.path.getsize, reverse=True)
        with concurrent.futures.ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
            results = list(pool.map(compile_one, enumerate(sources)))
        for source, _, result in results:
            if result.returncode != 0:
                print(f"{source}:\n{(result.stdout + result.stderr)[-1500:]}", flush=True)
        slow = sorted(((seconds, os.path.basename(source)) for source, seconds, _ in results),
                      reverse=True)[:5]
        if any(result.returncode for _, _, result in results):
            raise SystemExit("the library does not compile")
        objects = [f"{work}/{i}.o" for i in range(len(sources))]
        link = [each.replace("CUDA", cuda) for each in flags["link"]]
        subprocess.run([nvcc, "-shared", *objects, *link, "-o", f"{target}.part"], check=True)
    os.replace(f"{target}.part", target)
    print(f"compiled {len(sources)} sources for sm_90a in {time.monotonic() - start:.1f} s; slowest "
          f"{', '.join(f'{name} {seconds:.0f} s' for seconds, name in slow)}")


if __name__ == "__main__":
    main()
