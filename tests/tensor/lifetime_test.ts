import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import {
  add,
  crossEntropy,
  DeviceError,
  Linear,
  read,
  relu,
  reshape,
  type Tensor,
} from "../../mod.ts";
import { openDevice } from "./open_device.ts";

Deno.test("a tensor whose scope has closed says so when it is used", async () => {
  using device = await openDevice();
  let dead;
  {
    using _scope = device.scope();
    dead = device.ones([2, 3]);
  }
  const alive = device.ones([2, 3]);
  const uses = { "apply relu to": () => relu(dead), add: () => add(alive, dead) };
  for (const [operation, use] of Object.entries(uses)) {
    assertThrows(
      use,
      ReferenceError,
      `Cannot ${operation} a tensor of shape [2, 3] after its memory was freed`,
    );
  }
  await assertRejects(async () => await read(dead), ReferenceError, "scope.keep()");
});

Deno.test("disposing of a tensor frees it immediately, and again is harmless", async () => {
  using device = await openDevice();
  using _scope = device.scope();
  const a = device.ones([8]);
  a[Symbol.dispose]();
  a[Symbol.dispose]();
  assertEquals(device.statistics().inUse, 0);
  assertThrows(() => relu(a), ReferenceError);
});

Deno.test("a failed operation leaves nothing behind at the end of its scope", async () => {
  using device = await openDevice();
  {
    using _scope = device.scope();
    assertThrows(() => device.from([1, 2], [3]));
    assertEquals(device.statistics().inUse, 0);
  }
  assertEquals(device.statistics().inUse, 0);
});

Deno.test("disposing of a view leaves the memory, and a view dies with its tensor", async () => {
  using device = await openDevice();
  const x = device.from([1, 2, 3, 4], [2, 2]);
  const view = reshape(x, [4]);
  assertEquals(device.statistics().blocks, 1);
  view[Symbol.dispose]();
  assertEquals([...await read(x)], [1, 2, 3, 4]);
  assertEquals([...await read(view)], [1, 2, 3, 4]);
  x[Symbol.dispose]();
  assertEquals(device.statistics().blocks, 0);
  assertThrows(() => relu(view), ReferenceError, "[4]");
});

Deno.test("a kept view belongs to the caller: disposing of it frees the memory", async () => {
  using device = await openDevice();
  let view, loss;
  {
    using scope = device.scope();
    view = scope.keep(reshape(device.ones([2, 3]), [6]));
    const head = device.zeros([3, 5]);
    loss = scope.keep(crossEntropy(device.zeros([2, 3]), head, device.tokens([0, 1])).loss);
  }
  assertEquals(device.statistics().blocks, 2);
  assertEquals((await read(view)).length, 6);
  assert(Math.abs((await read(loss))[0]! - Math.log(5)) < 1e-6);
  view[Symbol.dispose]();
  loss[Symbol.dispose]();
  assertEquals(device.statistics().blocks, 0);
});

Deno.test("closing a device kills its tensors and its scopes, quietly", async () => {
  const device = await openDevice();
  const x = device.ones([3]);
  const scope = device.scope();
  const y = device.ones([3]);
  device.close();
  device.close();
  for (const dead of [x, y]) {
    assertThrows(() => relu(dead), DeviceError, "the device is closed");
    await assertRejects(async () => await read(dead), DeviceError, "[3]");
    dead[Symbol.dispose]();
  }
  scope[Symbol.dispose]();
  assertThrows(() => device.ones([1]), Error, "the device is closed");
  assertThrows(() => device.statistics(), Error, "the device is closed");
  for (const open of [() => device.scope(), () => device.record(), () => device.noGradient()]) {
    assertThrows(open, DeviceError, "Cannot open a scope: the device is closed");
  }
  assertEquals(device.leaks(), []);
});

Deno.test("leaks() lists what is alive, parameters included, with no site by default", async () => {
  using device = await openDevice();
  assertEquals(device.leaks(), []);
  using _layer = new Linear(device, { input: 2, output: 3 });
  device.ones([5]);
  assertEquals(device.leaks().map(({ bytes }) => bytes).sort(), [20, 24]);
  assert(device.leaks().every(({ site }) => site === ""));
});

function makeTheLeak(make: () => Tensor): Tensor {
  return make();
}

Deno.test("leaks() names where each tensor was made, in debug mode", async () => {
  using device = await openDevice({ debug: true });
  makeTheLeak(() => device.ones([7]));
  {
    using _scope = device.scope();
    device.ones([9]);
    assertEquals(device.leaks().length, 2);
  }
  const [leak, ...others] = device.leaks();
  assertEquals(others, []);
  assertEquals(leak?.bytes, 28);
  assertMatch(leak!.site, /makeTheLeak/);
  assertMatch(leak!.site, /lifetime_test\.ts/);
});

Deno.test("a value that is not a tensor of this library is refused", async () => {
  using device = await openDevice();
  const fake = { dtype: "f32", shape: [2], size: 2, [Symbol.dispose]() {} } as const;
  assertThrows(() => relu(fake), TypeError, "was not made by a Device");
  device.close();
});
