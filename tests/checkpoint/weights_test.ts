import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  CheckpointError,
  type Device,
  FileError,
  Linear,
  loadWeights,
  MoE,
  type Parameter,
  read,
  ReluRouter,
  saveWeights,
  square,
  sum,
} from "@remoe/remoe";
import { SafetensorsFile, writeSafetensors } from "@remoe/remoe/train";
import { TemporaryFolder } from "../temporary_folder.ts";
import { openDevice } from "../tensor/open_device.ts";

function namesIn(folder: string): string[] {
  return Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();
}

function layerOn(device: Device): MoE {
  const router: ReluRouter = new ReluRouter(device, { hidden: 8 as number, experts: 4 as number });
  return new MoE(device, { router, hidden: 8, width: 16 });
}

async function valuesOf(parameters: Iterable<Parameter>): Promise<number[]> {
  const values = [];
  for (const parameter of parameters) values.push(...await read(parameter));
  return values;
}

/** A file with the given tensors, all ones. */
function fileOf(path: string, shapes: Readonly<Record<string, readonly number[]>>, value = 1) {
  writeSafetensors(
    path,
    Object.entries(shapes).map(([name, shape]) => ({
      name,
      dtype: "F32" as const,
      shape,
      read: () => {
        const size = shape.reduce((product, each) => product * each, 1);
        return new Uint8Array(new Float32Array(size).fill(1).fill(value, size - 1).buffer);
      },
    })),
  );
  return path;
}

Deno.test("weights round-trip bit for bit, in one line each", async () => {
  using folder = new TemporaryFolder();
  using device = await openDevice({ seed: 1 });
  const path = `${folder.path}/layer.safetensors`;
  const trained = layerOn(device), fresh = layerOn(device);
  const wanted = await valuesOf(trained.parameters());
  assert((await valuesOf(fresh.parameters())).join() !== wanted.join());

  saveWeights(trained.parameters(), path);
  loadWeights(fresh.parameters(), path);
  assertEquals(await valuesOf(fresh.parameters()), wanted);
  using file = SafetensorsFile.open(path);
  assertEquals([...file.tensors.keys()], ["gate.weight", "experts.w1", "experts.w2"]);
});

Deno.test("saving replaces a file once the new one is complete, and leaves nothing else", async () => {
  using folder = new TemporaryFolder();
  using device = await openDevice();
  const path = `${folder.path}/layer.safetensors`;
  const layer = new Linear(device, { input: 2, output: 2 });
  saveWeights(layer.parameters(), path);
  saveWeights(layer.parameters(), path);
  assertEquals(namesIn(folder.path), ["layer.safetensors"]);
  const before = Deno.readFileSync(path);
  layer[Symbol.dispose]();
  assertThrows(() => saveWeights(layer.parameters(), path), ReferenceError, "save");
  Deno.mkdirSync(`${folder.path}/taken`);
  const other = new Linear(device, { input: 2, output: 2 });
  assertThrows(() => saveWeights(other.parameters(), `${folder.path}/taken`), FileError);
  assertThrows(() => saveWeights(other.parameters(), `${folder.path}/none/x`), FileError, "none/x");
  assertEquals(namesIn(folder.path), ["layer.safetensors", "taken"]);
  assertEquals(Deno.readFileSync(path), before);
});

Deno.test("two parameters with one name are refused by name", async () => {
  using folder = new TemporaryFolder();
  using device = await openDevice();
  const layers = [1, 2].map(() => new Linear(device, { input: 2, output: 2, name: "head" }));
  const parameters = layers.flatMap((layer) => [...layer.parameters()]);
  for (const call of [saveWeights, loadWeights]) {
    assertThrows(
      () => call(parameters, `${folder.path}/x.safetensors`),
      CheckpointError,
      "two parameters are named head",
    );
  }
  assertEquals(namesIn(folder.path), []);
});

Deno.test("a mismatched file is named with what is missing, extra or misshapen, and changes nothing", async () => {
  using folder = new TemporaryFolder();
  using device = await openDevice();
  const layer = layerOn(device);
  const before = await valuesOf(layer.parameters());
  const fitting = { "gate.weight": [8, 4], "experts.w1": [4, 8, 32], "experts.w2": [4, 16, 8] };
  const { "experts.w2": _, ...lacking } = fitting;
  const refused: [string, string, string][] = [
    [fileOf(`${folder.path}/1`, lacking), "it lacks experts.w2", "/1"],
    [fileOf(`${folder.path}/2`, { ...fitting, bias: [8] }), "does not have its bias", "/2"],
    [
      fileOf(`${folder.path}/3`, { ...fitting, "experts.w2": [4, 8, 16] }),
      "it holds experts.w2 [4, 8, 16] where the model has [4, 16, 8]",
      "/3",
    ],
    [fileOf(`${folder.path}/4`, fitting, NaN), "tensor gate.weight is not finite", "/4"],
  ];
  for (const [path, words, name] of refused) {
    const { message } = assertThrows(() => loadWeights(layer.parameters(), path), CheckpointError);
    assertStringIncludes(message, words);
    assertStringIncludes(message, name);
  }
  const torn = fileOf(`${folder.path}/5`, fitting);
  Deno.truncateSync(torn, Deno.statSync(torn).size - 4);
  assertThrows(() => loadWeights(layer.parameters(), torn), CheckpointError);
  assertThrows(() => loadWeights(layer.parameters(), `${folder.path}/none`), CheckpointError);
  assertEquals(await valuesOf(layer.parameters()), before);

  loadWeights(layer.parameters(), fileOf(`${folder.path}/6`, fitting));
  assert((await valuesOf(layer.parameters())).every((value) => value === 1));
});

Deno.test("a tape refuses to run backward after the weights it saved were reloaded", async () => {
  using folder = new TemporaryFolder();
  using device = await openDevice();
  const layer = new Linear(device, { input: 2, output: 2 });
  const path = `${folder.path}/layer.safetensors`;
  saveWeights(layer.parameters(), path);
  using tape = device.record();
  const loss = sum(square(layer.forward(device.ones([1, 2]))));
  loadWeights(layer.parameters(), path);
  assertThrows(() => tape.backward(loss), Error, "was written after the forward pass");
});
