import { assert, assertEquals, assertMatch } from "@std/assert";
import { fileURLToPath } from "node:url";
import { runTrain, TestFolder, TINY } from "../end_to_end/run_train.ts";
import { inChild } from "./in_child.ts";

/** What makes OpenMP grant fewer threads than requested, and how many of 2 it then grants. */
const LIMITS: readonly [env: Record<string, string>, threads: number][] = [
  [{ OMP_THREAD_LIMIT: "1" }, 1],
  [{ OMP_MAX_ACTIVE_LEVELS: "0" }, 1],
  [{ OMP_DYNAMIC: "true" }, 2],
  [{ OMP_DYNAMIC: "true", OMP_THREAD_LIMIT: "1" }, 1],
  [{ OMP_NUM_THREADS: "1" }, 2],
  [{ OMP_MAX_ACTIVE_LEVELS: "4", OMP_NESTED: "true" }, 2],
  // Larger than the address space: OpenMP itself would end the process at its first parallel
  // region.
  [{ OMP_STACKSIZE: "200000G" }, 1],
  [{ GOMP_STACKSIZE: "200000000 M " }, 1],
  [{ OMP_STACKSIZE: "2 m", GOMP_STACKSIZE: "200000G" }, 2],
  [{ OMP_STACKSIZE: "1B" }, 2],
];

/** Checks each product against its reference, then prints the threads and a hash of all results. */
const PRODUCTS = `
import { createHash } from "node:crypto";
import { assertMatchesReference, isBeyond } from "./kernels/cases/check.ts";
import { KERNEL_CASES } from "./kernels/cases/mod.ts";
import { openKernels } from "./tests/kernels/open_library.ts";
using kernels = openKernels({ threads: Number(Deno.env.get("WANTED")) });
const hash = createHash("sha256");
const read = kernels.readBytes.bind(kernels);
kernels.readBytes = (address, bytes) => {
  read(address, bytes);
  hash.update(bytes);
};
for (const each of KERNEL_CASES) {
  if (each.operation !== "gemm" || !("reference" in each) || isBeyond(kernels, each)) continue;
  assertMatchesReference(kernels, each);
}
console.log(kernels.info().threads, hash.digest("hex"));
`;

const nameOf = (env: Record<string, string>): string =>
  Object.entries(env).map((entry) => entry.join("=")).join(" ");

Deno.test("products are correct for any team OpenMP grants, with the bits of its size", async (t) => {
  const plain = new Map<number, string>();
  for (const threads of [1, 2]) {
    plain.set(threads, await inChild({ WANTED: String(threads) }, PRODUCTS));
  }
  for (const [env, threads] of LIMITS) {
    await t.step(nameOf(env), async () => {
      assertEquals(await inChild({ WANTED: "2", ...env }, PRODUCTS), plain.get(threads));
    });
  }
});

Deno.test("training is the same for any team OpenMP grants", async (t) => {
  await using folder = await TestFolder.make();
  const losses = async (name: string, args: string[], env: Record<string, string>) => {
    const out = `${folder.path}/${name}`;
    const run = [...TINY, "--steps", "3", "--device", "cpu", "--out", out, ...args];
    const { code, stderr } = await runTrain(run, folder.path, env);
    assertEquals(code, 0, stderr);
    const lines = Deno.readTextFileSync(`${out}/metrics.jsonl`).trim().split("\n");
    return lines.map((line) => {
      const { loss, grad_norm, valid_loss } = JSON.parse(line);
      assert(loss > 0 && grad_norm > 0 || valid_loss > 0, line);
      return [loss, grad_norm, valid_loss];
    });
  };
  const plain = new Map<number, unknown>();
  for (const threads of [1, 2]) {
    plain.set(threads, await losses(`plain${threads}`, ["--set", `threads=${threads}`], {}));
  }
  for (const [i, [env, threads]] of LIMITS.entries()) {
    await t.step(nameOf(env), async () => {
      assertEquals(await losses(`limited${i}`, ["--set", "threads=2"], env), plain.get(threads));
    });
  }
});

Deno.test("`doctor` says what keeps the threads below the number asked for", async () => {
  const doctor = fileURLToPath(new URL("../../cli/doctor.ts", import.meta.url));
  const report = async (env: Record<string, string>): Promise<string> => {
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", doctor, "--device", "cpu", "--threads", "2"],
      env: { NO_COLOR: "1", ...env },
    }).output();
    return new TextDecoder().decode(stdout);
  };
  assertMatch(await report({}), /^threads +2$/m);
  assertMatch(await report({ OMP_THREAD_LIMIT: "1" }), /^threads +1 of 2: OMP_THREAD_LIMIT=1$/m);
  const levels = await report({ OMP_MAX_ACTIVE_LEVELS: "0" });
  assertMatch(levels, /^threads +1 of 2: OMP_MAX_ACTIVE_LEVELS=0$/m);
  const stacks = await report({ OMP_STACKSIZE: "200000G" });
  assertMatch(stacks, /^threads +1 of 2: the system starts no more with OMP_STACKSIZE=200000G$/m);
});
