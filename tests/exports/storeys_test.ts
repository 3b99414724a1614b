/** How `lib` and `cli` are built: in storeys, without circles. */
import { assert, assertEquals } from "@std/assert";
import { findCircle, type Imports, importsAmong } from "./module_graph.ts";

/**
 * From the roof down: files, and folders less what stands above them. An import goes to the same
 * folder or to a storey below, never to a neighbour.
 */
const STOREYS: readonly (readonly string[])[] = [
  ["mod.ts", "cli"],
  ["cli/compare"],
  ["cli/train", "cli/generate", "cli/plot"],
  ["cli/shared"],
  ["lib/compare"],
  ["lib/plot"],
  ["lib/train"],
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
 * The one circle, of types alone: a tensor names the memory it lies in, its storage and who records
 * it, and memory makes tensors. Split up, each of them would be declared twice.
 */
const KNOT = ["device_memory", "operands", "recorder", "scope", "storage", "tensor"]
  .map((name) => `lib/tensor/${name}.ts`);

const { all, values } = await importsAmong(["mod.ts", "cli", "lib"]);

/** The entry of {@linkcode STOREYS} that a file belongs to: the longest that it begins with. */
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

/** The imports that go up, or to a neighbour. */
function wrongWays(imports: Imports): string[] {
  return [...imports].flatMap(([file, targets]) => {
    const from = roomOf(file);
    return targets.filter((target) => {
      const to = roomOf(target);
      return to.storey < from.storey || (to.storey === from.storey && to.room !== from.room);
    }).map((target) => `${file} imports ${target}`);
  });
}

Deno.test("imports go down the storeys, those of types too", () => {
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

Deno.test("no import leads back to where it began, but for the tensor's types", () => {
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

Deno.test("a circle and an import that goes up are found", () => {
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
