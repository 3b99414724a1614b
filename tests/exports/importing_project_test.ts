import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { CPU_LIBRARY } from "../kernels/open_library.ts";
import { ROOT, runDeno } from "./deno_command.ts";

/** What an engineer writes to use only the MoE layer. */
const PROGRAM = `import { Device, MoE, read, ReluRouter, sum } from "@remoe/remoe";

using device = await Device.open({ library: Deno.args[0]!, seed: 1 });
using router = new ReluRouter(device, { hidden: 64, experts: 8 });
using layer = new MoE(device, { router, hidden: 64, width: 256 });
using tape = device.record();
const x = tape.watch(device.normal([512, 64]));
const { output, routing } = layer.forward(x);
tape.backward(sum(output));
console.log(JSON.stringify({
  shape: output.shape,
  sparsity: await routing.sparsity(),
  gradient: (await read(tape.gradient(x))).some((value) => value !== 0),
}));
`;

/** Runs a test in a separate project that imports this checkout by its package name. */
async function inProject(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const config = { links: [ROOT], imports: { "@remoe/remoe": "jsr:@remoe/remoe@^0.1.0" } };
    await Deno.writeTextFile(`${folder}/deno.json`, JSON.stringify(config));
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("another project runs the MoE layer in twenty lines", async () => {
  assert(PROGRAM.trim().split("\n").length <= 20);
  await inProject(async (folder) => {
    await Deno.writeTextFile(`${folder}/main.ts`, PROGRAM);
    // It may only access the library file: no reads, writes, environment or network.
    const args = ["run", "--check", "--no-prompt", `--allow-ffi=${CPU_LIBRARY}`];
    const { code, stdout, stderr } = await runDeno(folder, ...args, "main.ts", CPU_LIBRARY);
    assertEquals(code, 0, stderr);
    const { shape, sparsity, gradient } = JSON.parse(stdout);
    assertEquals([shape, gradient], [[512, 64], true]);
    assert(sparsity > 0.3 && sparsity < 0.7, `${sparsity}`);
  });
});

Deno.test("a wrong size is a compile error in another project", async () => {
  await inProject(async (folder) => {
    const wrong = PROGRAM.replace("normal([512, 64])", "normal([512, 65])");
    await Deno.writeTextFile(`${folder}/main.ts`, wrong);
    const { code, stderr } = await runDeno(folder, "check", "main.ts");
    assertEquals(code, 1);
    assertStringIncludes(stderr, "Type '65' is not assignable to type '64'");
    assertStringIncludes(stderr, "main.ts:8");
  });
});

Deno.test("a training step needs only permission for the library", async () => {
  const program = `
import { AdamW, Device, FeedForward, LanguageModel, read } from "@remoe/remoe";
using device = await Device.open({ library: Deno.args[0]! });
const options = { vocabulary: 19, layers: 1, hidden: 16, heads: 2 };
using model = new LanguageModel(device, {
  ...options,
  feedForward: () => new FeedForward(device, { hidden: 16 }),
});
using optimizer = new AdamW(device, model.parameters(), { lr: 0.02 });
const losses: number[] = [];
for (let step = 0; step < 10; step++) {
  using tape = device.record();
  const { loss } = model.loss(device.tokens([1, 2, 3, 4]), device.tokens([2, 3, 4, 5]), 4);
  tape.backward(loss);
  optimizer.step();
  losses.push((await read(loss))[0]!);
}
console.log(losses.at(-1)! < losses[0]!);
`;
  await inProject(async (folder) => {
    await Deno.writeTextFile(`${folder}/main.ts`, program);
    const allowed = `--allow-ffi=${CPU_LIBRARY}`;
    const run = await runDeno(folder, "run", "--no-prompt", allowed, "main.ts", CPU_LIBRARY);
    assertEquals([run.code, run.stdout], [0, "true\n"], run.stderr);
    // Without it, the error names the missing permission.
    const refused = await runDeno(folder, "run", "--no-prompt", "main.ts", CPU_LIBRARY);
    assertEquals(refused.code, 1);
    assertStringIncludes(refused.stderr, "--allow-ffi");
  });
});

Deno.test("the README's program runs in another project and reaches its sparsity", async () => {
  const program = (await shownProgram())
    .replace("jsr:@remoe/remoe", "@remoe/remoe")
    .replace(/Device\.open\(\{ /, "Device.open({ library: Deno.args[0]!, threads: 1, ");
  await inProject(async (folder) => {
    // What the page claims about the program and about the router on its own.
    const claims = `
const { gates, counts } = router.route(x);
const closed = (await readBack(gates)).filter((gate) => gate === 0).length / gates.size;
console.log(JSON.stringify({ closed, lambda: router.lambda, experts: counts.shape }));
`;
    const source = `import { read as readBack } from "@remoe/remoe";\n${program}${claims}`;
    await Deno.writeTextFile(`${folder}/main.ts`, source);
    const args = ["run", "--check", "--no-prompt", `--allow-ffi=${CPU_LIBRARY}`];
    const { code, stdout, stderr } = await runDeno(folder, ...args, "main.ts", CPU_LIBRARY);
    assertEquals(code, 0, stderr);
    const { closed, lambda, experts } = JSON.parse(stdout.trim().split("\n").at(-1)!);
    assertEquals(experts, [8]);
    // The target is one expert of eight; λ has risen from 1e-8 to hold it.
    assert(closed > 0.8 && closed < 0.95, `${closed}`);
    assert(lambda > 1e-3 && lambda < 1e3, `${lambda}`);
  });
});

/** The program of the README. */
async function shownProgram(): Promise<string> {
  const readme = await Deno.readTextFile(`${ROOT}README.md`);
  const blocks = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code!);
  const shown = blocks.find((code) => code.includes("new ReluRouter("));
  assert(shown !== undefined);
  return shown;
}

Deno.test("a checkout imported by its path, as the README says, works without a warning", async () => {
  const readme = await Deno.readTextFile(`${ROOT}README.md`);
  const [, path, name] = /`"(\S+)"` in place of\s+`"(\S+)"`/.exec(readme) ?? [];
  const [, train] = /`train`.* `"(\S+)"` and so on/.exec(readme) ?? [];
  assert(path !== undefined && name !== undefined && train !== undefined);
  const folder = await Deno.makeTempDir();
  try {
    const project = `${folder}/project`;
    await Deno.mkdir(project);
    await Deno.symlink(ROOT, `${folder}/remoe`);
    const layer = (await shownProgram()).replace(name, path).replace("step <= 200", "step <= 2")
      .replace("Device.open({ ", `Device.open({ library: ${JSON.stringify(CPU_LIBRARY)}, `);
    await Deno.writeTextFile(`${project}/layer.ts`, layer);
    assertEquals(await runQuietly(project, "layer.ts"), "");

    // The result of `deno add npm:zod`.
    const imports = { imports: { zod: "npm:zod@^4" } };
    await Deno.writeTextFile(`${project}/deno.json`, JSON.stringify(imports));
    const entries = ["train", "data", "generate"].map((entry) => train.replace("train", entry));
    const program = `
import { parseConfig } from "${entries[0]}";
import { philox4x32 } from "${entries[1]}";
import { generate } from "${entries[2]}";
console.log(parseConfig({}).model.layers, typeof philox4x32, typeof generate);
`;
    await Deno.writeTextFile(`${project}/entries.ts`, program);
    assertEquals(await runQuietly(project, "entries.ts"), "4 function function\n");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Type-checks and runs a program; returns its output and anything else that Deno printed. */
async function runQuietly(folder: string, program: string): Promise<string> {
  const { code, stdout, stderr } = await runDeno(folder, "run", "-A", "--check", program);
  assertEquals(code, 0, stderr);
  return stdout + stderr.split("\n").filter((line) => !/^Check /.test(line)).join("\n").trim();
}
