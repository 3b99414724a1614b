import { assertEquals } from "@std/assert";
import { attentionCase } from "../../kernels/cases/attention.ts";
import { gemmCase } from "../../kernels/cases/gemm.ts";
import { crossEntropyCase, crossEntropyGradientCase } from "../../kernels/cases/cross_entropy.ts";
import type { BenchCase } from "../../bench/harness/case.ts";
import { fromForward, host, kernelBench, normal } from "../../bench/harness/kernel_case.ts";
import { iterations, Session } from "../../bench/harness/session.ts";
import { peakOf } from "../../bench/harness/watch.ts";
import type { Device } from "../../mod.ts";
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

/** A case that counts its calls, in a session whose probe finds the peaks given. */
function samplesAmid(device: Device, peaks: readonly number[], dtype?: "bf16") {
  const left = [...peaks];
  const types: string[] = [];
  const peakOf = (type: string): number => {
    types.push(type);
    return left.shift()!;
  };
  using session = new Session(device, { seconds: 0.01, bytes: 2 ** 16, peakOf });
  let calls = 0;
  const prepare = () => ({ run: () => void calls++, [Symbol.dispose]() {} });
  const counted: BenchCase = {
    ...{ group: "g", name: "n", flops: 1, bytes: 1, prepare },
    ...(dtype === undefined ? {} : { dtype }),
  };
  session.add(counted);
  for (let i = 0; i < 4; i++) session.sample(counted);
  const [result] = session.results();
  return { calls, types, left: left.length, samples: result!.samples, result: result! };
}

Deno.test("a case is sampled again until the peaks around it agree, and otherwise marked", async () => {
  using device = await openDevice();
  const steady = samplesAmid(device, [100, 91]);
  assertEquals([steady.calls, steady.samples, steady.left], [1 + 4, 4, 0]);
  assertEquals(steady.result.disturbed, undefined);
  const slowed = samplesAmid(device, [100, 89, 88]);
  assertEquals([slowed.calls, slowed.samples, slowed.left], [1 + 2 * 4, 4, 0]);
  assertEquals(slowed.result.disturbed, undefined);
  const never = samplesAmid(device, [100, 50, 100, NaN, 100]);
  assertEquals([never.calls, never.samples, never.left], [1 + 3 * 4, 4, 1]);
  assertEquals(never.result.disturbed, true);
});

Deno.test("the peak around a case is that of the type it computes in", async () => {
  using device = await openDevice();
  assertEquals(samplesAmid(device, [1, 1]).types, ["f32", "f32"]);
  assertEquals(samplesAmid(device, [1, 1], "bf16").types, ["bf16", "bf16"]);
  const shape = { batch: 1, sequence: 2, heads: 1, groups: 1, headDim: 2 };
  const kernelCase = attentionCase({ ...shape, dtype: "bf16" });
  assertEquals(kernelBench({ group: "gemm", model: "test", kernelCase }).dtype, "bf16");
  // A device without a unit for bf16 is probed in fp32.
  assertEquals(peakOf(device)("bf16") > 0, true);
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
