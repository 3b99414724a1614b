/**
 * Reports the kernel library, the device, its measured peak and the permissions:
 * `deno run -A cli/doctor.ts`.
 *
 * @module
 */

import { ConfigError } from "../lib/errors.ts";
import type { ContextInfo } from "../lib/ffi/context.ts";
import { diagnose, type Diagnosis } from "../lib/ffi/diagnosis.ts";
import type { OpenOptions } from "../lib/ffi/open_context.ts";
import { visible } from "../lib/visible.ts";
import { absolutePath, callingDirectory, type Flags, parseFlags } from "./shared/arguments.ts";
import { describeError } from "./shared/errors.ts";
import { formatBytes, formatGflops, formatUnits } from "./shared/format.ts";
import { missingFlags, type Needs } from "./shared/permissions.ts";

/** The most threads that a kernel library accepts. */
const MOST_THREADS = 4096;

/** The flags of `doctor`, in the order of the help. */
export const DOCTOR_FLAGS = {
  device: { value: "auto|cpu|cuda", about: "The device to open", fallback: "auto" },
  library: { value: "FILE", about: "The kernel library to open instead of looking for one" },
  data: {
    value: "PATH",
    repeat: true,
    about: "Text to train on, to check permissions for; may be repeated",
  },
  out: { value: "DIR", about: "Run directory, to check permissions for", fallback: "runs" },
  threads: {
    value: "N",
    whole: { least: 0, most: MOST_THREADS },
    about: "CPU threads",
    fallback: "one per available core",
  },
  json: { about: "Report as JSON" },
  help: { about: "Print this help" },
} as const satisfies Flags;

const KINDS = ["auto", "cpu", "cuda"] as const;

interface Command {
  readonly json: boolean;
  readonly help: boolean;
  readonly options: OpenOptions;
  /** The permissions that training would need. */
  readonly needs: Needs;
}

function readCommand(args: readonly string[]): Command {
  const given = parseFlags(args, DOCTOR_FLAGS);
  const base = callingDirectory();
  const absolute = (path: string): string => absolutePath(path, base);
  const named = given.value("library");
  const library = named === undefined ? {} : { path: absolute(named) };
  const out = absolute(given.value("out") ?? "runs");
  const device = given.value("device") ?? "auto";
  const kind = KINDS.find((it) => it === device);
  if (kind === undefined) {
    throw new ConfigError(`--device is ${device}, expected one of ${KINDS.join(", ")}`);
  }
  const threads = given.whole("threads") ?? 0;
  return {
    json: given.has("json"),
    help: given.has("help"),
    options: { kind, threads, ...library },
    needs: {
      device: kind,
      ...(library.path === undefined ? {} : { library: library.path }),
      read: [...given.values("data").map(absolute), out],
      write: [out],
    },
  };
}

function usage(): string {
  const rows = Object.entries<Flags[string]>(DOCTOR_FLAGS).map((
    [name, { value, about, fallback }],
  ) => `  ${`--${name} ${value ?? ""}`.padEnd(26)}${about}${fallback ? ` [${fallback}]` : ""}`);
  return `Usage: deno run -A cli/doctor.ts [FLAGS]\n\n${rows.join("\n")}\n\n` +
    "Exits with code 0 if a device can be opened, else with 1.";
}

/** What computes: threads by a name that scripts look for, or the parts of a GPU. */
function unitsRow(device: ContextInfo): [string, string] {
  const { backend, threads, threads_wanted, threads_limit } = device;
  if (backend === "cuda") return ["computes on", formatUnits(device)];
  const limited = threads_limit === undefined ? "" : ` of ${threads_wanted}: ${threads_limit}`;
  return ["threads", `${threads}${limited}`];
}

function describe(
  { deno, permissions, attempts, ...found }: Diagnosis,
  missing: readonly string[],
): string {
  const { library, device, peak, bf16, problem } = found;
  const rows: [string, string][] = [["Deno", `${deno.version}, ${deno.target}`]];
  rows.push(["permissions", Object.entries(permissions).map((it) => it.join(" ")).join(", ")]);
  rows.push(["to train", missing.length === 0 ? "nothing is missing" : `add ${missing.join(" ")}`]);
  // If nothing was found, the problem lists what was tried.
  for (const { source, backend, location, outcome } of found.ok ? attempts : []) {
    rows.push(["looked in", `${source} (${backend}): ${location}: ${outcome}`]);
  }
  if (library !== undefined) {
    const { version, compiler, isa } = library.build;
    rows.push(
      ["library", library.path],
      ["built", `version ${version}, ABI ${library.abiVersion}, ${compiler}, ${isa.join(" ")}`],
    );
    if (library.missing.length > 0) rows.push(["lacks", library.missing.join(", ")]);
  }
  if (device !== undefined) {
    rows.push(
      ["device", `${device.name} (${device.backend}, ${device.isa})`],
      unitsRow(device),
      ["memory", formatBytes(device.memory_bytes)],
      ["products", device.gemm],
    );
  }
  if (peak !== undefined) {
    rows.push(
      ["peak", `${formatGflops(peak.gflops)} of fused multiply-adds`],
      ["copy", `${peak.gigabytesPerSecond.toFixed(1)} GB/s read and written`],
    );
  }
  if (bf16 !== undefined) {
    rows.push([
      "bf16 products",
      bf16 === null ? "none: computed in fp32" : `${bf16.unit}, peak ${formatGflops(bf16.gflops)}`,
    ]);
  }
  if (problem !== undefined) rows.push(["problem", problem]);
  return rows.map(([name, text]) => `${name.padEnd(13)} ${text}`).join("\n");
}

if (import.meta.main) {
  try {
    const { json, help, options, needs } = readCommand(Deno.args);
    if (help) {
      console.log(usage());
    } else {
      const diagnosis = await diagnose(options);
      const missing = await missingFlags(needs, callingDirectory());
      const whole = { ...diagnosis, missing };
      const report = json ? JSON.stringify(whole, null, 2) : describe(diagnosis, missing);
      console.log(visible(report));
      if (!diagnosis.ok) {
        console.error("error: No device can be opened; the report says what was tried");
        Deno.exitCode = 1;
      }
    }
  } catch (error) {
    console.error(`error: ${visible(describeError(error))}`);
    Deno.exitCode = 1;
  }
}
