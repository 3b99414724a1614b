import { assertEquals } from "@std/assert";
import { formatGflops, formatUnits } from "../../../cli/shared/format.ts";

Deno.test("rates of CPUs and of GPUs are written in units in which they are short", () => {
  assertEquals(formatGflops(26.94), "26.9 GFLOPS");
  assertEquals(formatGflops(9999.9), "9999.9 GFLOPS");
  assertEquals(formatGflops(52_340), "52.3 TFLOPS");
  assertEquals(formatGflops(582_030.6), "582 TFLOPS");
});

Deno.test("a GPU computes on multiprocessors, everything else on threads", () => {
  assertEquals(formatUnits({ backend: "cpu", threads: 1 }), "1 thread");
  assertEquals(formatUnits({ backend: "cpu", threads: 8 }), "8 threads");
  assertEquals(formatUnits({ backend: "emulated", threads: 1 }), "1 thread");
  assertEquals(formatUnits({ backend: "cuda", threads: 132 }), "132 multiprocessors");
});
