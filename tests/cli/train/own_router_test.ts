/** A user's router that fails, or does not do what its row says: `train` names file and method. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { TemporaryFolder } from "../../temporary_folder.ts";
import { type Finished, runTrain } from "../refusal.ts";

/** Parts of a router file that differ from one that works. */
interface Parts {
  /** Further properties of the row. */
  readonly row?: string;
  /** What `build()` does in place of returning the router. */
  readonly build?: string;
  /** Properties that replace those of the router. */
  readonly router?: string;
}

function fileOf({ row = "", build = "", router = "" }: Parts): string {
  return `import { LAMBDA_KEYS, matmul, relu, routingOf } from "@remoe/remoe";
export default {
  ${row}
  build(device, { hidden, experts, active, deviation, name, state }) {
    const weight = device.parameter([hidden, experts], { deviation, name });
    ${build}
    const gatesOf = (x) => relu(matmul(x, weight));
    return {
      hidden, experts, active,
      route: (x) => routingOf(gatesOf(x), { active }),
      parameters: () => [weight],
      [Symbol.dispose]: () => weight[Symbol.dispose](),
      ${router}
    };
  },
};
`;
}

async function train(parts: Parts, ...flags: string[]): Promise<Finished & { file: string }> {
  using folder = new TemporaryFolder();
  const file = `${folder.path}/mine.js`;
  Deno.writeTextFileSync(file, fileOf(parts));
  Deno.mkdirSync(`${folder.path}/text`);
  for (let i = 0; i < 8; i++) {
    Deno.writeTextFileSync(`${folder.path}/text/${i}.txt`, `${i} Some words. `.repeat(40));
  }
  const args = ["--data=text", "--router=mine.js", "--out=run", "--device=cpu", "--experts=4"];
  const sizes = [
    "--set=model.hidden=16",
    "--set=model.ffn=32",
    "--set=data.validation_fraction=0.3",
  ];
  return { ...await runTrain(folder.path, [...args, ...sizes, ...flags]), file };
}

const FAULTS: Readonly<Record<string, readonly [Parts, string]>> = {
  "a build that fails": [
    { build: `throw new RangeError("no such size\\nmore");` },
    "its build() failed in line 6: no such size",
  ],
  "a build without a router": [{ build: "return;" }, "its build() returned undefined, expected a"],
  "a build that takes its time": [
    { build: "return Promise.resolve({});" },
    "its build() returned a Promise, expected a router",
  ],
  "no parameters": [
    { router: "parameters: undefined" },
    "parameters of what its build() returned is undefined, expected a function",
  ],
  "parameters that are no list": [
    { router: "parameters: () => weight" },
    "its parameters() returned Parameter",
  ],
  "a size that is no number": [
    { router: "experts: undefined" },
    "experts of what its build() returned is undefined, expected a number",
  ],
  "a route that fails": [
    { router: `route() { throw new Error("boom"); }` },
    "its route() failed in line 13: boom",
  ],
  "a route that misuses an operation": [
    { router: "route: (x) => routingOf(matmul(x, x))" },
    "its route() failed in line 13: Cannot matmul [128, 16] and [128, 16]",
  ],
  "a route without a result": [
    { router: "route() {}" },
    "its route() returned undefined, expected what routingOf()",
  ],
  "a route that takes its time": [
    { router: "route: (x) => Promise.resolve(routingOf(gatesOf(x)))" },
    "its route() returned a Promise, expected what routingOf()",
  ],
  "a routing of its own": [
    { router: "route: (x) => ({ gates: gatesOf(x) })" },
    "its route() returned { gates: Tensor f32 [128, 4] on cpu }, expected what routingOf()",
  ],
  "a step that fails": [
    { router: `afterStep() { throw "after"; }` },
    `its afterStep() failed: "after"`,
  ],
  "a step that takes its time": [
    { router: "async afterStep() {}" },
    "its afterStep() returned a Promise, expected nothing; see readSync()",
  ],
  "buffers that are none": [
    { router: "buffers: () => [3]" },
    "its buffers() returned [ 3 ], expected a list of device.parameter()s",
  ],
  "a row that fails": [
    { row: `activeFrom() { throw new Error("unknown"); },` },
    "its activeFrom() failed in line 3: unknown",
  ],
  "more rows than its row says": [
    { row: "exact: true, activeFrom: () => [{ from: 0, most: 1 }]," },
    "for 128 tokens, and the row's activeFrom() allows 128, 1 per token; raise the bound",
  ],
};

for (const [what, [parts, words]] of Object.entries(FAULTS)) {
  Deno.test(`train refuses a router with ${what}, in one sentence that names it`, async () => {
    const { code, stderr, file } = await train(parts);
    assertEquals(code, 1, stderr);
    const message = stderr.slice(stderr.lastIndexOf("error: "));
    assertStringIncludes(message, `error: Cannot use the router ${file}: `);
    assertStringIncludes(message, words);
    assertEquals(message.trimEnd().split("\n").length, 1, message);
  });
}

Deno.test("train remarks on a term without an adaptive λ, and on λ without a term", async () => {
  const regularized = "route: (x) => routingOf(gatesOf(x), { active, regularization: { state } })";
  const adaptive = "lambda: true, keys: LAMBDA_KEYS,";
  const fixed = await train({ router: regularized });
  assertEquals(fixed.code, 0, fixed.stderr);
  const told = `Step 1: the router ${fixed.file} regularizes its gates, but its row is without`;
  assertEquals(fixed.stderr.split(told).length, 2, fixed.stderr);
  const idle = await train({ row: adaptive });
  assertEquals(idle.code, 0, idle.stderr);
  assertStringIncludes(idle.stderr, "has lambda: true, but no gates are regularized");
  const right = [await train({ row: adaptive, router: regularized }), await train({})];
  for (const { code, stderr } of right) {
    assertEquals(code, 0, stderr);
    assert(!stderr.includes("regularize"), stderr);
  }
});

Deno.test("a bound that falls during a run is held from the step on that it names", async () => {
  const row = "activeFrom: () => [{ from: 0, most: 4 }, { from: 2, most: 1 }],";
  const { code, stderr } = await train({ row });
  assertEquals(code, 1, stderr);
  assertStringIncludes(stderr, "step 3 routed");
});
