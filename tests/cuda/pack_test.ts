import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { OPERATION_CASES } from "../../kernels/cases/mod.ts";
import { buildEmulated } from "../../kernels/tools/build_cuda.ts";
import { findCppCompiler, run } from "../../kernels/tools/cuda_toolchain.ts";
import { writePack } from "../../kernels/tools/pack_cuda.ts";

const python = (await run("python3", ["-c", "import sys; print(sys.executable)"])).stdout.trim();
const compiler = await findCppCompiler();
const reason = "reason" in compiler ? compiler.reason : python === "" ? "there is no python3" : "";
const skipped = reason === "" ? "" : ` [skipped: ${reason}]`;
const ignore = reason !== "";

/** Without network access if the system allows dropping it. */
const offline = (await run("unshare", ["-n", "true"])).success ? ["unshare", "-n"] : [];

/** A pack of the emulated library, in an empty folder. */
async function packed(library: string): Promise<AsyncDisposable & { readonly folder: string }> {
  const folder = await Deno.makeTempDir({ prefix: "remoe_pack" });
  await writePack(`${folder}/pack`, { library, backend: "emulated", cpu: null, compress: false });
  await Deno.mkdir(`${folder}/home`);
  return {
    folder,
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

/** Runs a pack without access to Deno or this checkout, and returns the log. */
async function runPack(folder: string, ...args: string[]): Promise<{ code: number; log: string }> {
  const path = `${python.replace(/\/[^/]*$/, "")}:/usr/bin:/bin`;
  const { code } = await new Deno.Command("env", {
    args: [
      ...["-i", `HOME=${folder}/home`, `PATH=${path}`, ...offline],
      ...["sh", `${folder}/pack/run.sh`, "--out", `${folder}/log`, ...args],
    ],
    cwd: folder,
    stdout: "null",
    stderr: "null",
  }).output();
  const logs = [...Deno.readDirSync(`${folder}/log`)].map(({ name }) => name);
  const log = logs.filter((name) => name.endsWith(".md"));
  assertEquals(log.length, 1);
  return { code, log: await Deno.readTextFile(`${folder}/log/${log[0]}`) };
}

/** A case that the kernels below fail. */
const COUNTED = "relu_router_forward [257,64]x[64,8]";

/** The kernels, changed to count one expert too many: the gates stay right, the counts do not. */
async function miscounting(): Promise<string> {
  const file = "moe/relu_router.cu";
  const url = new URL(`../../kernels/cuda/${file}`, import.meta.url);
  const text = await Deno.readTextFile(url);
  const right = "count += shared.counts[warp][column];";
  assertStringIncludes(text, right);
  const files = { [file]: text.replace(right, "count += kRowTokens;") };
  const built = await buildEmulated({ mutant: { name: "miscounting", files } });
  if (built.kind === "skipped") throw new Error(built.reason);
  return built.path;
}

Deno.test(`the packed tests run from an empty folder, without network or Deno${skipped}`, {
  ignore,
}, async () => {
  const built = await buildEmulated();
  if (built.kind === "skipped") throw new Error(built.reason);
  await using pack = await packed(built.path);
  // All cases run elsewhere; here a share of them shows that they are packed.
  const { code, log } = await runPack(pack.folder, "--share", "0/20");
  assertEquals(code, 0, log);
  assertStringIncludes(log, "no GPU took part");
  assertStringIncludes(log, "Device: emulated");
  for (
    const part of ["facts", "cases", "large", "train", "times", "step", "larger", "routing times"]
  ) {
    assertStringIncludes(log, `| ${part} | ok |`);
  }
  for (const part of ["memcheck", "racecheck", "synccheck", "initcheck"]) {
    assertStringIncludes(log, `| ${part} | skipped: compute-sanitizer sees GPUs alone`);
  }
  assertStringIncludes(log, "bf16 product of 8192 x 8192 x 8192: skipped: small shapes alone");
  assertStringIncludes(log, "ok T=203 D=48 E=128");
  assertStringIncludes(log, " 0 failed;");
});

Deno.test(
  `the packed tests leave out what there is no time for${skipped}`,
  { ignore },
  async () => {
    const built = await buildEmulated();
    if (built.kind === "skipped") throw new Error(built.reason);
    await using pack = await packed(built.path);
    const { code, log } = await runPack(pack.folder, "--only", "facts,train", "--budget", "5");
    assertEquals(code, 0, log);
    assertStringIncludes(log, "| facts | ok |");
    assertMatch(log, /\| train \| skipped: \d s are left, it takes 15 \|/);
  },
);

Deno.test(`the packed tests fail if the kernels are wrong${skipped}`, { ignore }, async () => {
  await using pack = await packed(await miscounting());
  const wrong = OPERATION_CASES.findIndex(({ name }) => name === COUNTED);
  const share = `${wrong % 20}/20`;
  const { code, log } = await runPack(
    pack.folder,
    ...["--only", "facts,cases,large", "--share", share],
  );
  assertEquals(code, 1);
  assertStringIncludes(log, `FAILED ${COUNTED}: counts`);
  assertStringIncludes(log, "FAILED T, D, E = (203, 48, 8): counts");
  assertStringIncludes(log, "| cases | FAILED: exit status 1 |");
  assertStringIncludes(log, "| large | FAILED: exit status 1 |");
  assertStringIncludes(log, "| times | skipped: not asked for |");
});
