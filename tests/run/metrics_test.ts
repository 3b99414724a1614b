import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import {
  isFlips,
  isValidation,
  JsonlSink,
  readMetrics,
  type StepMetrics,
  truncateMetrics,
} from "../../lib/train/mod.ts";
import { appendSample, truncateSamples } from "../../lib/run/samples.ts";
import { TemporaryFolder } from "../temporary_folder.ts";

function metricsAt(step: number): StepMetrics {
  return {
    step,
    loss: 1 / 3,
    lr: 1e-3,
    grad_norm: 0.5,
    sparsity: 0.875,
    sparsity_per_layer: [0.8, 0.95],
    lambda: 1.0000000000000002e-8,
    l1_reg: 0.1,
    expert_load: [[0.5, 0.5], [0.25, 0.75]],
    tokens_without_expert: 3,
    idle_experts: 1,
    closed_layers: 0,
    stage: "dense",
    dtype: "f32",
    tokens: 4096 * step,
    tokens_per_second: 1000,
    gflops: 10,
    gflops_executed: 20,
    ms: 4096,
    memory_bytes: 2 ** 20,
  };
}

Deno.test("`JsonlSink` appends lines that `readMetrics()` reads back exactly", () => {
  using folder = new TemporaryFolder();
  const path = `${folder.path}/metrics.jsonl`;
  const validation = { step: 2, valid_loss: 1.5, valid_bits_per_byte: 2.2 };
  const flips = { step: 2, flip_rate: 0.1, flip_count: 0.8, flip_rate_per_layer: [0.05, 0.15] };
  {
    using sink = new JsonlSink(path);
    sink.write(metricsAt(1));
    assertEquals(readMetrics(path), [metricsAt(1)]);
  }
  using sink = new JsonlSink(path);
  sink.write(metricsAt(2));
  sink.write(flips);
  sink.write(validation);
  sink.flush();
  assertEquals(readMetrics(path), [metricsAt(1), metricsAt(2), flips, validation]);
  assert(isValidation(validation) && isFlips(flips));
  for (const line of [metricsAt(1), flips]) assertFalse(isValidation(line));
  for (const line of [metricsAt(1), validation]) assertFalse(isFlips(line));
});

Deno.test("`truncateMetrics()` drops later lines and a torn last one, and keeps the rest byte for byte", () => {
  using folder = new TemporaryFolder();
  const path = `${folder.path}/metrics.jsonl`;
  const kept = '{"step": 1, "loss": 2.50}\n{"step":2,"valid_loss":1}\n';
  Deno.writeTextFileSync(path, `${kept}{"step":3,"loss":1}\n{"step":4,"lo`);
  assertEquals(readMetrics(path).length, 3);
  truncateMetrics(path, 2);
  assertEquals(Deno.readTextFileSync(path), kept);
  truncateMetrics(path, 0);
  assertEquals(Deno.readTextFileSync(path), "");
  truncateMetrics(`${folder.path}/none`, 1);
});

Deno.test("a metrics file may have lines of any length, and exceed the longest string", () => {
  using folder = new TemporaryFolder();
  const path = `${folder.path}/metrics.jsonl`;
  // Longer than a chunk, much shorter, and with multi-byte characters at the edges.
  const lengths = [3_000_000, 5, 1 << 20, 700_000, 1, 2_000_000];
  const lines = lengths.map((length, index) => ({ step: index + 1, text: "λ".repeat(length / 2) }));
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join("");
  Deno.writeTextFileSync(path, `${text}{"step":7`);
  assertEquals(readMetrics(path) as unknown, lines);
  truncateMetrics(path, 6);
  assertEquals(Deno.readTextFileSync(path) === text, true);
  truncateMetrics(path, 4);
  assertEquals(readMetrics(path).map(({ step }) => step), [1, 2, 3, 4]);
});

Deno.test("`readMetrics()` names a line that is not JSON", () => {
  using folder = new TemporaryFolder();
  const path = `${folder.path}/metrics.jsonl`;
  Deno.writeTextFileSync(path, '{"step":1}\nbroken\n');
  assertThrows(() => readMetrics(path), SyntaxError, `line 2 of ${path}`);
});

Deno.test("`truncateSamples()` drops later samples, whatever their text looks like", () => {
  using folder = new TemporaryFolder();
  const path = `${folder.path}/samples.txt`;
  appendSample(path, { step: 100, prompt: "", text: "one\n=== step 900 ===\ntwo\n" });
  const before = Deno.readTextFileSync(path);
  appendSample(path, { step: 200, prompt: "", text: "three" });
  appendSample(path, { step: 300, prompt: "", text: "four" });
  truncateSamples(path, 100);
  assertEquals(Deno.readTextFileSync(path), before);
  truncateSamples(path, 50);
  assertEquals(Deno.readTextFileSync(path), "");
  truncateSamples(`${folder.path}/none`, 1);
});
