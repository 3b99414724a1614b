import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Diagnosis } from "../../lib/ffi/mod.ts";

const DOCTOR = new URL("../../cli/doctor.ts", import.meta.url).pathname;

async function doctor(
  ...args: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", DOCTOR, ...args],
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

Deno.test("`doctor --json` reports library, device, peak and permissions", async () => {
  const { code, stdout, stderr } = await doctor("--json", "--threads", "1");
  assertEquals(code, 0, stderr);
  const found: Diagnosis = JSON.parse(stdout);
  assert(found.ok);
  assertEquals(found.problem, undefined);
  assertEquals(found.attempts.at(-1)?.location, found.library?.path);
  assertEquals(found.device?.threads, 1);
  assert(found.peak !== undefined && found.peak.gflops > 0 && found.peak.gigabytesPerSecond > 0);
  const unit = found.device!.bf16;
  assertEquals(found.bf16?.unit ?? "fp32", unit);
  assert(found.bf16 === null || found.bf16!.gflops > 0);
  assertEquals(found.permissions.ffi, "granted");
  assertEquals(found.deno.version, Deno.version.deno);
});

Deno.test("`doctor` says which unit computes bf16 products, or that there is none", async () => {
  const run = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", DOCTOR, "--threads", "1"],
    env: { NO_COLOR: "1", REMOE_ISA: "baseline" },
  });
  const { stdout } = await run.output();
  assertStringIncludes(new TextDecoder().decode(stdout), "bf16 products none: computed in fp32");
});

Deno.test("`doctor` names the missing flags, including those of training", async () => {
  type Found = Diagnosis & { readonly missing: readonly string[] };
  const run = async (...permissions: string[]): Promise<Found> => {
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-prompt",
        "--quiet",
        ...permissions,
        DOCTOR,
        "--json",
        "--device",
        "cpu",
        "--data",
        "/texts/a.txt",
      ],
      env: { NO_COLOR: "1" },
    }).output();
    return JSON.parse(new TextDecoder().decode(stdout));
  };
  const none = await run();
  const [ffi = "", read, write] = none.missing;
  assertEquals([none.ok, none.missing.length], [false, 3]);
  assertEquals([read, write], ["--allow-read=/texts/a.txt,runs", "--allow-write=runs"]);
  assert(ffi.startsWith("--allow-ffi=/"), ffi);
  assertStringIncludes(none.problem!, `Run deno with ${ffi} to open it`);
  // The flags it names are sufficient.
  const granted = await run(...none.missing);
  assertEquals([granted.ok, granted.missing], [true, []]);
});

Deno.test("`doctor` writes a table", async () => {
  const { code, stdout } = await doctor();
  assertEquals(code, 0);
  for (const row of ["library", "device", "threads", "GFLOPS", "GB/s", "permissions", "opened"]) {
    assertStringIncludes(stdout, row);
  }
});

Deno.test("`doctor` exits with 1 if there is no library, and says what to do", async () => {
  const missing = await doctor("--library", "/nowhere/libremoe_cpu.so");
  assertEquals(missing.code, 1);
  assertStringIncludes(missing.stdout, "/nowhere/libremoe_cpu.so");
  assertStringIncludes(missing.stdout, "deno task build");
  const json = await doctor("--json", "--library", "/nowhere/libremoe_cpu.so");
  assertEquals(json.code, 1);
  assertEquals(JSON.parse(json.stdout).ok, false);
});

Deno.test("`doctor` refuses unknown flags and wrong values in one line", async () => {
  for (const args of [["--jsn"], ["--device", "tpu"], ["--threads", "-1"], ["stray"]]) {
    const { code, stdout, stderr } = await doctor(...args);
    assertEquals(code, 1, args.join(" "));
    assertEquals(stdout, "");
    assertMatch(stderr, /^error: .+\n$/);
  }
});

Deno.test("`doctor --help` explains itself", async () => {
  const { code, stdout } = await doctor("--help");
  assertEquals(code, 0);
  assertStringIncludes(stdout, "--json");
});
