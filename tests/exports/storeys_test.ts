/** `lib` and `cli` are layered, without cycles. */
import { assert, assertEquals } from "@std/assert";
import { findCircle, type Imports, importsAmong } from "./module_graph.ts";

/**
 * From the top down: files, and folders minus what is listed above them. An import goes to the same
 * folder or to a lower layer, never to a neighbour.
 */
const STOREYS: readonly (readonly string[])[] = [
  ["mod.ts", "cli"],
  ["cli/compare"],
  [
    "cli/train",
    "cli/generate",
    "cli/plot",
    "cli/analyze",
    "cli/evaluate",
    "cli/convert",
    "cli/serve",
  ],
  ["cli/shared"],
  ["lib/compare"],
  ["lib/plot"],
  ["lib/train", "lib/serve"],
  ["lib/init_from", "lib/analyze", "lib/evaluate", "lib/interchange"],
  ["lib/model"],
  ["lib/run"],
  ["lib/checkpoint"],
  ["lib/config"],
  ["lib/generate"],
  ["lib/nn"],
  ["lib/moe"],
  ["lib/optim", "lib/data/mod.ts"],
  ["lib/data/batches"],
  ["lib/data/corpus"],
  ["lib/data/tokenizer", "lib/data/text"],
  ["lib/data"],
  ["lib/autograd"],
  ["lib/tensor"],
  ["lib/ffi"],
  ["lib"],
];

/**
 * The one cycle, of types only: a tensor names its memory, its storage and its recorder, and memory
 * makes tensors. Breaking it would mean declaring each of them twice.
 */
const KNOT = ["device_memory", "operands", "recorder", "scope", "storage", "tensor"]
  .map((name) => `lib/tensor/${name}.ts`);

const { all, values } = await importsAmong(["mod.ts", "cli", "lib"]);

/** The entry of {@linkcode STOREYS} that a file belongs to: its longest matching prefix. */
function roomOf(file: string): { room: string; storey: number } {
  let [room, storey] = ["", -1];
  for (const [level, rooms] of STOREYS.entries()) {
    for (const each of rooms) {
      const isInside = file === each || file.startsWith(`${each}/`);
      if (isInside && each.length > room.length) [room, storey] = [each, level];
    }
  }
  return { room, storey };
}

/** The imports that go up or sideways. */
function wrongWays(imports: Imports): string[] {
  return [...imports].flatMap(([file, targets]) => {
    const from = roomOf(file);
    return targets.filter((target) => {
      const to = roomOf(target);
      return to.storey < from.storey || (to.storey === from.storey && to.room !== from.room);
    }).map((target) => `${file} imports ${target}`);
  });
}

Deno.test("imports, including type imports, only go down the layers", () => {
  assertEquals([...all.keys()].filter((file) => roomOf(file).storey < 0), []);
  assertEquals(wrongWays(all), []);
  for (const rooms of STOREYS) {
    const shown = rooms.map((room) => {
      const files = [...all.keys()].filter((file) => roomOf(file).room === room);
      assert(files.length > 0, `${room} is empty`);
      return `${room} (${files.length})`;
    });
    console.log(shown.join(" | "));
  }
});

Deno.test("there are no import cycles, except among the tensor's types", () => {
  assertEquals(findCircle(values), null);
  const isKnot = (file: string): boolean => KNOT.includes(file);
  const untied = new Map([...all].map(([file, targets]) => [
    file,
    isKnot(file) ? targets.filter((target) => !isKnot(target)) : targets,
  ]));
  assertEquals(findCircle(untied), null);
  assertEquals(findCircle(all)?.every(isKnot), true, "the knot is undone: drop the exception");
});

Deno.test("data needs no device", () => {
  const foreign = [...all].flatMap(([file, targets]) =>
    file.startsWith("lib/data/")
      ? targets.filter((target) => /^lib\/(?!data\/)\w+\//.test(target))
      : []
  );
  assertEquals(foreign, []);
});

Deno.test("a cycle and an upward import are found", () => {
  const imports = new Map([
    ["lib/data/a.ts", ["lib/data/b.ts"]],
    ["lib/data/b.ts", ["lib/data/c.ts", "lib/errors.ts"]],
    ["lib/data/c.ts", ["lib/data/b.ts", "lib/train/train.ts"]],
    ["lib/optim/adamw.ts", ["lib/data/mod.ts", "lib/optim/mod.ts"]],
  ]);
  assertEquals(findCircle(imports), ["lib/data/b.ts", "lib/data/c.ts", "lib/data/b.ts"]);
  assertEquals(wrongWays(imports), [
    "lib/data/c.ts imports lib/train/train.ts",
    "lib/optim/adamw.ts imports lib/data/mod.ts",
  ]);
});
