import { assertEquals, assertThrows } from "@std/assert";
import { ConfigError } from "../../mod.ts";
import { checkMemory, estimateMemory, memoryLimit, parseConfig } from "../../lib/train/mod.ts";

const GIB = 2 ** 30;

Deno.test("`memoryLimit()` is 85 % of the device unless the configuration names it", () => {
  assertEquals(memoryLimit(parseConfig({}), 20 * GIB), 17 * GIB);
  assertEquals(memoryLimit(parseConfig({ memory: { limit_gib: 3 } }), 20 * GIB), 3 * GIB);
  assertThrows(
    () => memoryLimit(parseConfig({ memory: { limit_gib: 21 } }), 20 * GIB),
    ConfigError,
    "memory.limit_gib is 21, the device has 20.0 GiB",
  );
});

Deno.test("`checkMemory()` accepts what fits once pre-activations are recomputed", () => {
  const config = parseConfig({ preset: "182m" });
  assertEquals(estimateMemory(config).dense.total > 20 * GIB, true);
  checkMemory(config, 20 * GIB);
});

Deno.test("`checkMemory()` names a micro-batch that fits, or says that none does", () => {
  const config = parseConfig({ preset: "182m" });
  assertThrows(() => checkMemory(config, 14 * GIB), ConfigError, "data.micro_batch=4 would fit");
  assertThrows(() => checkMemory(config, 8 * GIB), ConfigError, "no micro-batch is small enough");
});

Deno.test("`checkMemory()` refuses to keep everything if the user asks for it and it does not fit", () => {
  const config = parseConfig({ preset: "182m", memory: { recompute: "never" } });
  assertThrows(() => checkMemory(config, 20 * GIB), ConfigError, "data.micro_batch=2 would fit");
});
