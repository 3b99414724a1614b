import { assert, assertEquals } from "@std/assert";
import {
  formatBytes,
  formatCount,
  formatSeconds,
  oneLine,
  printable,
} from "../../../cli/shared/format.ts";
import { createProgress } from "../../../cli/train/progress.ts";
import { type RouterName, ROUTERS } from "../../../lib/moe/routers.ts";
import type { StepMetrics } from "../../../lib/train/mod.ts";

const METRICS: StepMetrics = {
  step: 1,
  loss: 5.5452,
  lr: 1e-3,
  grad_norm: 1,
  sparsity: 0.5,
  sparsity_per_layer: [0.5],
  lambda: 1.2e-8,
  l1_reg: 0.1,
  expert_load: [[1]],
  tokens_without_expert: 0,
  idle_experts: 0,
  closed_layers: 0,
  stage: "dense",
  dtype: "f32",
  tokens: 4096,
  tokens_per_second: 12_345,
  gflops: 1,
  gflops_executed: 1,
  ms: 100,
  memory_bytes: 2 ** 20,
};

Deno.test("`createProgress()` writes a limited number of plain lines, and always the last", async () => {
  let [text, now] = ["", 0];
  const write = (part: string): void => {
    text += part;
  };
  const progress = createProgress({
    steps: 100,
    from: 0,
    router: ROUTERS.relu,
    columns: null,
    write,
    now: () => now,
  });
  for (let step = 1; step <= 100; step++) {
    now += 100;
    progress.step({ ...METRICS, step });
  }
  progress.note("note");
  await progress.stop();
  assertEquals(text.split("\n"), [
    "step 1/100  loss 5.545  sparsity 0.500  λ 1.2e-8  12.3k tokens/s  ETA 10s",
    "step 51/100  loss 5.545  sparsity 0.500  λ 1.2e-8  12.3k tokens/s  ETA 5s",
    "step 100/100  loss 5.545  sparsity 0.500  λ 1.2e-8  12.3k tokens/s  ETA 0s",
    "note",
    "",
  ]);
});

Deno.test("`createProgress()` shows only metrics that the router has", () => {
  const line = (router: RouterName): string => {
    let text = "";
    const write = (part: string): void => {
      text += part;
    };
    createProgress({
      steps: 1,
      from: 0,
      router: ROUTERS[router],
      columns: null,
      write,
      now: () => 0,
    }).step(METRICS);
    return text;
  };
  assert(line("relu").includes("  sparsity 0.500  λ 1.2e-8  "));
  assert(line("topk").includes("  sparsity 0.500  12.3k"));
  assert(line("dense").includes("loss 5.545  12.3k"));
});

Deno.test("`createProgress()` estimates the remaining time from the recent pace", () => {
  let [text, now] = ["", 0];
  const write = (part: string): void => {
    text = part;
  };
  const progress = createProgress({
    steps: 400,
    from: 0,
    router: ROUTERS.relu,
    columns: null,
    write,
    now: () => now,
  });
  for (let step = 1; step <= 300; step++) {
    now += step <= 150 ? 1000 : 100;
    progress.step({ ...METRICS, step });
  }
  const [, seconds = "0"] = /ETA (\d+)s/.exec(text) ?? [];
  assert(Number(seconds) < 30, text);
});

Deno.test("`createProgress()` draws a bar that fits the terminal", async () => {
  const script = `
    import { createProgress } from "${new URL("../../../cli/train/progress.ts", import.meta.url)}";
    const write = (text) => Deno.stderr.writeSync(new TextEncoder().encode(text));
    const now = () => performance.now();
    const progress = createProgress({ steps: 4, from: 2, router: { routed: true, lambda: true }, columns: 40, write, now });
    progress.step({ ...${JSON.stringify(METRICS)}, step: 3 });
    progress.note("a note");
    await new Promise((resolve) => setTimeout(resolve, 300));
    await progress.stop();`;
  const config = new URL("../../../deno.json", import.meta.url).pathname;
  const file = Deno.makeTempFileSync({ suffix: ".ts" });
  Deno.writeTextFileSync(file, script);
  const args = ["run", "-A", "--no-check", "--no-lock", "--config", config, file];
  const { stderr, code } = await new Deno.Command(Deno.execPath(), { args }).output();
  Deno.removeSync(file);
  const text = new TextDecoder().decode(stderr);
  assertEquals(code, 0, text);
  // deno-lint-ignore no-control-regex -- the terminal's own control characters
  const lines = text.split(/\r(?:\x1b\[K)?|\n/);
  assert(lines.some((line) => line.includes("3/4  loss 5.545")), text);
  assert(lines.includes("a note"), text);
  for (const line of lines) assert(line.length < 40, line);
});

Deno.test("`formatCount()`, `formatBytes()` and `formatSeconds()` write readable numbers", () => {
  assertEquals([0, 7, 999, 1000, 6_559_104, 999_600, 31.4e9].map(formatCount), [
    "0",
    "7",
    "999",
    "1.00k",
    "6.56M",
    "1.00M",
    "31.4G",
  ]);
  assertEquals([0, 1023, 1024, 26_214_400, 5e11].map(formatBytes), [
    "0 B",
    "1023 B",
    "1.00 KiB",
    "25.0 MiB",
    "466 GiB",
  ]);
  assertEquals([-1, 0.4, 59.6, 125, 3600, 12_000].map(formatSeconds), [
    "0s",
    "0s",
    "1m00s",
    "2m05s",
    "1h00m",
    "3h20m",
  ]);
});

Deno.test("`printable()` and `oneLine()` keep generated text from controlling the terminal", () => {
  assertEquals(printable("a\x1b[2J\x07\x9bb\nü\0"), "a�[2J��b\nü�");
  assertEquals(oneLine("  a\n\tb\x1bc  ", 10), "a b�c");
  assertEquals(oneLine("😀😀😀😀", 3), "😀😀…");
});
