import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  CheckpointError,
  ConfigError,
  Device,
  DeviceError,
  FileError,
  LibraryError,
  matmul,
  MoE,
  ReluRouter,
  ShapeMismatchError,
  type Tensor,
} from "../../mod.ts";
import { DataError, prepareCorpus, textFiles } from "../../lib/data/mod.ts";
import { openTokenizer } from "../../lib/data/mod.ts";
import { DivergenceError, parseConfig, SafetensorsFile } from "../../lib/train/mod.ts";
import { openDevice } from "../tensor/open_device.ts";

Deno.test("every error has its name, its base class and a cause", () => {
  const cause = new Error("underneath");
  const errors: [Error, string, typeof Error][] = [
    [new ShapeMismatchError("m", { cause }), "ShapeMismatchError", RangeError],
    [new ConfigError("m", { cause }), "ConfigError", TypeError],
    [new LibraryError("m", { cause }), "LibraryError", Error],
    [new DeviceError("m", { cause, status: 3, operation: "o" }), "DeviceError", Error],
    [new CheckpointError("m", { cause }), "CheckpointError", Error],
    [new DataError("m", { cause }), "DataError", Error],
    [new DivergenceError("m", { step: 7, tensor: "x", cause }), "DivergenceError", Error],
  ];
  for (const [error, name, base] of errors) {
    assertEquals([error.name, error.message, error.cause], [name, "m", cause]);
    assert(error instanceof base && error instanceof Error, name);
    assert(error.stack?.includes("errors_test.ts"), name);
  }
  const device = new DeviceError("m", { status: 3, operation: "matmul" });
  assertEquals([device.status, device.operation, device.cause], [3, "matmul", undefined]);
  const diverged = new DivergenceError("m", { step: 7, tensor: "x" });
  assertEquals([diverged.step, diverged.tensor], [7, "x"]);
  assertEquals(new LibraryError("m").attempts, []);
});

Deno.test("an error requires the fields its readers rely on, and keeps what it was given", () => {
  const makes: Readonly<Record<string, () => unknown>> = {
    "DeviceError: its status": () => new DeviceError("m", undefined as never),
    "DeviceError: its operation": () => new DeviceError("m", { status: 3 } as never),
    "LibraryError: its attempts": () => new LibraryError("m", { attempts: "x" as never }),
    "FileError: its path": () => new FileError("m", undefined as never),
  };
  for (const [says, make] of Object.entries(makes)) {
    assertThrows(make, TypeError, `Cannot make a ${says} must be`);
  }
  const attempts = [{ source: "path", backend: "any", location: "/a", outcome: "opened" }];
  const error = new LibraryError("m", { attempts });
  attempts[0]!.location = "/b";
  attempts.pop();
  assertEquals(error.attempts.map(({ location }) => location), ["/a"]);
});

Deno.test("each error class is thrown for its kind of failure", async () => {
  using device = await openDevice({ threads: 1 });
  const wide = device.ones([2, 3]) as Tensor<"f32", readonly [number, number]>;
  assertThrows(() => matmul(wide, wide), ShapeMismatchError, "[2, 3] and [2, 3]");
  assertThrows(
    () => new ReluRouter(device, { hidden: 4, experts: 2, active: 3 }),
    ConfigError,
    "3 of 2 experts",
  );
  using router = new ReluRouter(device, { hidden: 4, experts: 2 });
  const hidden: number = 8;
  assertThrows(
    () => new MoE(device, { router: router as ReluRouter, hidden, width: 4 }),
    ConfigError,
    "hidden size 8 with a router of hidden size 4",
  );
  assertThrows(() => parseConfig({ steps: 0 }), ConfigError, "steps is 0");

  // A refusal by the kernels carries their status and the operation's name.
  const most = 2 ** 31 - 1; // times 2¹⁸ elements: 2 PiB
  const memory = assertThrows(() => device.zeros([most, 2 ** 18]), DeviceError);
  assertEquals([memory.status, memory.operation], [3, "allocate"]);

  const library = await assertRejects(
    () => Device.open({ library: "/nowhere/libremoe_cpu.so" }),
    LibraryError,
  );
  assertEquals(library.attempts.map(({ location }) => location), ["/nowhere/libremoe_cpu.so"]);
  assert(library.cause instanceof Error);

  const folder = await Deno.makeTempDir();
  try {
    const file = `${folder}/a.safetensors`;
    await Deno.writeFile(file, new Uint8Array(4));
    assertThrows(() => SafetensorsFile.open(file), CheckpointError, "a.safetensors");
    await Deno.writeFile(`${folder}/a.txt`, Uint8Array.of(0xff, 0xfe, 0xfd));
    const tokenizer = await openTokenizer("byte");
    const text = textFiles([`${folder}/a.txt`]);
    const error = await assertRejects(
      () => prepareCorpus(text, tokenizer, { cacheFolder: false }),
      DataError,
      "a.txt",
    );
    assert(error.cause === undefined || error.cause instanceof Error);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a closed device says so", async () => {
  const device = await openDevice({ threads: 1 });
  device.close();
  assertThrows(() => device.ones([2]), DeviceError, "closed");
});
