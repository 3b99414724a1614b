import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { add, Device, LibraryError, matmul, read } from "../../mod.ts";
import { CPU_LIBRARY } from "../kernels/open_library.ts";
import { openDevice } from "./open_device.ts";

Deno.test("open() takes a library by path or URL and says what it opened", async () => {
  using device = await Device.open({ library: new URL(`file://${CPU_LIBRARY}`), threads: 1 });
  const info = device.info();
  assertEquals(info.library, CPU_LIBRARY);
  assertEquals(info.threads, 1);
  assert(["cpu", "emulated", "cuda"].includes(info.backend));
  assert(info.name.length > 0 && info.isa.length > 0 && info.gemm.length > 0);
});

Deno.test("open() names a library that is not there, and what to do", async () => {
  const error = await assertRejects(
    async () => await Device.open({ library: "/no/such/libremoe.so" }),
    LibraryError,
  );
  assertStringIncludes((error as Error).message, "/no/such/libremoe.so");
});

Deno.test("two devices work side by side, with separate memory and scopes", async () => {
  using one = await openDevice({ seed: 1 });
  using two = await openDevice({ seed: 2 });
  using first = one.scope();
  using _second = two.scope();
  const a = one.full([2, 2], 1);
  const b = two.full([2, 2], 2);
  const [p, q] = [matmul(a, a), matmul(b, b)];
  assertEquals([...await read(p)], [2, 2, 2, 2]);
  assertEquals([...await read(q)], [8, 8, 8, 8]);
  assertEquals(one.statistics().blocks, 2);
  // The other device's scope may close first: the stacks are separate.
  first[Symbol.dispose]();
  assertEquals(one.statistics().blocks, 0);
  assertEquals(two.statistics().blocks, 2);
  one.close();
  assertEquals([...await read(add(q, b))], [10, 10, 10, 10]);
});

Deno.test("two devices work concurrently", async () => {
  const work = async (seed: number): Promise<Float32Array> => {
    using device = await openDevice({ seed });
    using _scope = device.scope();
    let x = device.normal([32, 32], { deviation: 0.1 });
    for (let i = 0; i < 20; i++) {
      x = matmul(x, device.normal([32, 32], { deviation: 0.2 }));
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    return await read(x);
  };
  const together = await Promise.all([work(1), work(2)]);
  assertEquals(together, [await work(1), await work(2)]);
});

Deno.test("resetPeak() restarts the peak", async () => {
  using device = await openDevice();
  {
    using _scope = device.scope();
    device.zeros([1000]);
  }
  assertEquals(device.statistics().peak, 4000);
  device.resetPeak();
  assertEquals(device.statistics().peak, 0);
  device.zeros([10]);
  device.synchronize();
  assertEquals(device.statistics().peak, 40);
});
