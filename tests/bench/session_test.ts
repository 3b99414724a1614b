import { assertEquals } from "@std/assert";
import { gemmCase } from "../../kernels/cases/gemm.ts";
import { crossEntropyCase, crossEntropyGradientCase } from "../../kernels/cases/cross_entropy.ts";
import type { BenchCase } from "../../bench/harness/case.ts";
import { fromForward, host, kernelBench, normal } from "../../bench/harness/kernel_case.ts";
import { iterations, Session } from "../../bench/harness/session.ts";
import { openDevice } from "../tensor/open_device.ts";

function gemmBench(size: number): BenchCase {
  return kernelBench({
    group: "gemm",
    model: "test",
    kernelCase: gemmCase({ m: size, n: size, k: size }),
    operands: () => ({ a: normal(size ** 2), b: normal(size ** 2) }),
  });
}

Deno.test("a session keeps the buffers of one case at a time, and every timed sample", async () => {
  using device = await openDevice();
  using session = new Session(device, { seconds: 0.01, bytes: 2 ** 16 });
  const [small, large] = [gemmBench(8), gemmBench(64)];
  session.add(small);
  session.add(large);
  session.add(gemmBench(16));
  const order: string[] = [];
  for (let i = 0; i < 3; i++) session.sample(large, () => order.push("s"), () => order.push("e"));
  assertEquals(device.statistics().blocks, 3);
  session.sample(small);
  assertEquals(device.statistics().blocks, 3);
  assertEquals(order.join(""), "sesese");
  assertEquals(session.results().map(({ name, samples }) => [name, samples]), [
    [small.name, 1],
    [large.name, 3],
  ]);
  assertEquals(session.peak().gflops > 0, true);
  assertEquals(device.statistics().blocks, 0);
});

Deno.test("a gradient's operands come from its forward kernel", async () => {
  using device = await openDevice();
  const head = { tokens: 6, hidden: 4, vocabulary: 10 };
  const bench = kernelBench({
    group: "cross entropy",
    model: "test",
    kernelCase: crossEntropyGradientCase(head),
    forward: crossEntropyCase(head),
    operands: () => ({
      x: normal(24),
      w: normal(40),
      targets: host(Int32Array.of(0, 1, 2, 3, 4, 5)),
      dloss: host(Float32Array.of(1)),
      loss: fromForward(2),
      normalizer: fromForward(12),
    }),
  });
  using prepared = bench.prepare(device);
  prepared.run();
  assertEquals(device.statistics().blocks, 8);
});

Deno.test("`iterations()` is large for a fast case and one for a slow one", () => {
  assertEquals(iterations({ flops: 0, bytes: 100 }), 20);
  assertEquals(iterations({ flops: 1e12, bytes: 1e9 }), 1);
});
