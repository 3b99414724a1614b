import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { add, type Device, read, scale, type Scope, sum } from "../../mod.ts";
import { openDevice } from "./open_device.ts";

Deno.test("scope() frees everything created inside", async () => {
  using device = await openDevice();
  using outside = device.ones([100]);
  const { inUse, blocks } = device.statistics();
  {
    using _scope = device.scope();
    const a = device.ones([10, 10]);
    scale(add(a, a), 2);
    assertEquals(device.statistics().blocks, blocks + 3);
  }
  assertEquals(device.statistics().inUse, inUse);
  assertEquals((await read(outside))[99], 1);
});

Deno.test("scopes nest: each frees its own", async () => {
  using device = await openDevice();
  {
    using _outer = device.scope();
    const a = device.ones([4]);
    {
      using _inner = device.scope();
      device.ones([8]);
      assertEquals(device.statistics().inUse, 48);
    }
    assertEquals(device.statistics().inUse, 16);
    device.ones([2]);
    assertEquals(device.statistics().inUse, 24);
    assertEquals((await read(a))[0], 1);
  }
  assertEquals(device.statistics().inUse, 0);
});

Deno.test("a scope stays open across await", async () => {
  using device = await openDevice();
  {
    using _scope = device.scope();
    const a = device.full([3], 7);
    await new Promise((resolve) => setTimeout(resolve, 1));
    assertEquals([...await read(scale(a, 2))], [14, 14, 14]);
    assertEquals(device.statistics().blocks, 2);
  }
  assertEquals(device.statistics().blocks, 0);
});

Deno.test("a scope closes when its block throws", async () => {
  using device = await openDevice();
  assertThrows(() => {
    using _scope = device.scope();
    device.ones([3]);
    throw new Error("from inside");
  }, "from inside");
  assertEquals(device.statistics().inUse, 0);
});

/** Two scopes opened by functions whose names must show in the error. */
function openFirst(device: Device): Scope {
  return device.scope();
}
function openSecond(device: Device): Scope {
  return device.scope();
}

Deno.test("closing scopes out of order throws and names both sites", async () => {
  using device = await openDevice();
  const first = openFirst(device);
  const a = device.ones([2]);
  const second = openSecond(device);
  const error = assertThrows(() => first[Symbol.dispose](), Error, "last in, first out");
  const { closing, stillOpen } = (error as Error).cause as Record<string, Error>;
  assert(closing!.stack!.includes("openFirst"), closing!.stack!);
  assert(stillOpen!.stack!.includes("openSecond"), stillOpen!.stack!);
  // Nothing was freed by the refusal, and the right order still works.
  assertEquals((await read(a)).length, 2);
  second[Symbol.dispose]();
  first[Symbol.dispose]();
  assertEquals(device.statistics().inUse, 0);
});

Deno.test("keep() moves a tensor to the enclosing scope", async () => {
  using device = await openDevice();
  {
    using _outer = device.scope();
    let kept;
    {
      using inner = device.scope();
      const temporary = device.ones([5]);
      kept = inner.keep(scale(temporary, 3));
    }
    assertEquals(device.statistics().blocks, 1);
    assertEquals((await read(kept))[4], 3);
  }
  assertEquals(device.statistics().blocks, 0);
});

Deno.test("keep() returns the same tensor, and at the root hands it to the caller", async () => {
  using device = await openDevice();
  let kept;
  {
    using scope = device.scope();
    const total = sum(device.ones([4, 4]));
    kept = scope.keep(total);
    assertStrictEquals(kept, total);
  }
  assertEquals((await read(kept))[0], 16);
  assertEquals(device.statistics().inUse, 4);
  kept[Symbol.dispose]();
  assertEquals(device.statistics().inUse, 0);
});

Deno.test("keep() moves a tensor through several scopes, one at a time", async () => {
  using device = await openDevice();
  let kept;
  {
    using outer = device.scope();
    {
      using inner = device.scope();
      kept = outer.keep(inner.keep(device.ones([3])));
    }
  }
  assertEquals((await read(kept)).length, 3);
  kept[Symbol.dispose]();
  assertEquals(device.statistics().blocks, 0);
});

Deno.test("keep() leaves a tensor that lives longer where it is", async () => {
  using device = await openDevice();
  using mine = device.ones([3]);
  {
    using _outer = device.scope();
    {
      using inner = device.scope();
      inner.keep(mine);
    }
  }
  assertEquals((await read(mine)).length, 3);
});

Deno.test("a hundred scopes take no more memory than one", async () => {
  using device = await openDevice();
  const round = (): void => {
    using _scope = device.scope();
    let x = device.normal([64, 64]);
    for (let i = 0; i < 10; i++) x = scale(x, 0.5);
  };
  round();
  const { held, peak } = device.statistics();
  for (let i = 0; i < 100; i++) round();
  const after = device.statistics();
  assertEquals(after.inUse, 0);
  assertEquals(after.peak, peak);
  assertEquals(after.held, held);
});
