import { assert, assertEquals } from "@std/assert";
import { runCharts } from "../../lib/plot/charts.ts";
import type { Chart } from "../../lib/plot/chart.ts";
import { readRunFigures, type RunFigures } from "../../lib/plot/run_figures.ts";
import type { Spec } from "../../lib/plot/theme.ts";
import { TemporaryFolder } from "../temporary_folder.ts";
import { stepOf, type TestRun, writeRun } from "./runs.ts";

function runOf(folder: TemporaryFolder, name: string, run: TestRun = {}): RunFigures {
  return readRunFigures(writeRun(`${folder.path}/${name}`, run), name);
}

function chart(charts: readonly Chart[], name: string): Spec {
  const found = charts.find((chart) => chart.name === name);
  assert(found !== undefined, `no chart ${name} in ${charts.map(({ name }) => name)}`);
  return found.spec;
}

function layersOf(spec: Spec): Spec[] {
  return spec["layer"] as Spec[];
}

function valuesOf(layer: Spec): Record<string, unknown>[] {
  return (layer["data"] as { values: Record<string, unknown>[] }).values;
}

function markOf(layer: Spec): string {
  return (layer["mark"] as { type: string }).type;
}

function textOf(spec: Spec): string {
  return JSON.stringify(spec["title"]);
}

Deno.test("`runCharts()` draws what the router has figures for", () => {
  using folder = new TemporaryFolder();
  const names = (run: TestRun): string =>
    runCharts([runOf(folder, `${run.router}`, run)]).map(({ name }) => name).join(" ");
  assertEquals(
    names({ router: "relu" }),
    "loss sparsity lambda optimizer speed layers load load_history",
  );
  assertEquals(names({ router: "topk" }), "loss sparsity optimizer speed load load_history");
  assertEquals(names({ router: "dense" }), "loss optimizer speed");
});

Deno.test("several runs share charts, and each has its own of layers and experts", () => {
  using folder = new TemporaryFolder();
  const runs = [
    runOf(folder, "a", { domains: ["books", "code"] }),
    runOf(folder, "b", { router: "dense", steps: 12 }),
    runOf(folder, "c", { router: "topk" }),
  ];
  const charts = runCharts(runs);
  assertEquals(
    charts.map(({ name }) => name).join(" "),
    "loss domains sparsity lambda optimizer speed layers-a load-a load_history-a load-c load_history-c",
  );
  const names = new Set(layersOf(chart(charts, "loss")).flatMap(valuesOf).map(({ name }) => name));
  assertEquals(names, new Set(["a", "b", "c"]));
  const planes = chart(charts, "domains")["concat"] as Spec[];
  assertEquals(planes.map(({ title }) => (title as { text: string }).text), ["books", "code"]);
  assert(textOf(chart(charts, "load-c")).includes("fair share: c"));
});

Deno.test("the loss is drawn faint as it is and strong where smooth, with validations as dots", () => {
  using folder = new TemporaryFolder();
  const [faint, strong, validation] = layersOf(
    chart(runCharts([runOf(folder, "a", { router: "topk" })], { smooth: 5 }), "loss"),
  ) as [Spec, Spec, Spec];
  assertEquals((faint["mark"] as { opacity: number }).opacity, 0.3);
  assertEquals(valuesOf(faint)[9], { name: "training", step: 10, value: 5 / Math.sqrt(10) });
  const mean = [8, 9, 10, 11, 12].reduce((sum, step) => sum + 1 / Math.sqrt(step), 0);
  assert(Math.abs(valuesOf(strong)[9]!["value"] as number - mean) < 1e-12);
  assertEquals(valuesOf(validation).map(({ step }) => step), [10, 20, 30]);
  // Smoothing over one step leaves one curve.
  const rough = layersOf(
    chart(runCharts([runOf(folder, "b", { router: "topk" })], { smooth: 1 }), "loss"),
  );
  assertEquals(rough.length, 2);
});

Deno.test("the loss of a long run is drawn without its beginning, and says so", () => {
  using folder = new TemporaryFolder();
  const run = runOf(folder, "a");
  const domainOf = (spec: Spec): unknown => {
    const { y } = layersOf(spec)[1]!["encoding"] as { y: { scale: Spec } };
    return y.scale["domain"];
  };
  const short = chart(runCharts([run]), "loss");
  assertEquals([domainOf(short), textOf(short).includes("first steps")], [undefined, false]);
  const loss = Array.from({ length: 1000 }, (_, i) => ({ step: i + 1, value: 1 + 8 / (i + 1) }));
  const figures = { ...run.figures, loss };
  const long = chart(runCharts([{ ...run, figures, validations: [] }]), "loss");
  assertEquals(domainOf(long), [1.008, 1 + 8 / 21]);
  // A validation that has become worse is not cut off.
  const validations = [{ step: 900, valid_loss: 3, valid_bits_per_byte: 4 }];
  assertEquals(domainOf(chart(runCharts([{ ...run, figures, validations }]), "loss")), [1.008, 3]);
  assert(textOf(long).includes("the first steps lie above"));
});

Deno.test("stages are areas behind one run, and lines where there are several", () => {
  using folder = new TemporaryFolder();
  const run = runOf(folder, "a");
  const [areas] = layersOf(chart(runCharts([run]), "speed"));
  assertEquals(markOf(areas!), "rect");
  assertEquals(valuesOf(areas!), [
    { stage: "dense", from: 1, to: 11 },
    { stage: "sparsifying", from: 11, to: 21 },
    { stage: "sparse", from: 21, to: 30 },
  ]);
  const single = textOf(chart(runCharts([run]), "speed"));
  assert(single.includes("dense, sparsifying from step 11, sparse from step 21"), single);
  const both = [run, runOf(folder, "b", { router: "topk" })];
  const [lines] = layersOf(chart(runCharts(both), "speed"));
  assertEquals(markOf(lines!), "rule");
  assertEquals(valuesOf(lines!), [{ name: "a", step: 11 }, { name: "a", step: 21 }]);
});

Deno.test("sparsity has its target, and the area of its layers", () => {
  using folder = new TemporaryFolder();
  const layers = layersOf(chart(runCharts([runOf(folder, "a")]), "sparsity"));
  const area = layers.find((layer) => markOf(layer) === "area")!;
  assertEquals(valuesOf(area).at(-1), { step: 30, low: 0.75, high: 0.76 });
  const target = layers.find((layer) => markOf(layer) === "rule")!;
  assertEquals(valuesOf(target), [{ value: 0.75, step: 30, text: "target 0.75" }]);
});

Deno.test("λ is drawn on a logarithmic axis without what has no logarithm", () => {
  using folder = new TemporaryFolder();
  const run = runOf(folder, "a");
  const lambda = run.figures.lambda.with(3, { step: 4, value: 0 });
  const [, curve] = layersOf(
    chart(runCharts([{ ...run, figures: { ...run.figures, lambda } }]), "lambda"),
  );
  const { y } = curve!["encoding"] as { y: { scale: Spec } };
  assertEquals(y.scale["type"], "log");
  assert(valuesOf(curve!).every(({ step }) => step !== 4));
});

Deno.test("load is coloured by its ratio to the fair share, which is the middle", () => {
  using folder = new TemporaryFolder();
  const run = runOf(folder, "a", { layers: 1 });
  const finalLoad = { from: 1, to: 30, load: [[0.25, 0.5, 0.25 / 32, 0]] };
  const spec = chart(runCharts([{ ...run, finalLoad }]), "load");
  assertEquals(valuesOf(spec).map(({ ratio, level }) => [ratio, level]), [
    [1, 0],
    [2, 1],
    [1 / 32, -2],
    [0, -2],
  ]);
  assert(textOf(spec).includes("1 is 1/4 of the layer's rows; black: no row at all"));
});

Deno.test("charts of 60,000 steps hold no more points than an eye can tell apart", () => {
  using folder = new TemporaryFolder();
  const run = runOf(folder, "a");
  const points = Array.from({ length: 60_000 }, (_, i) => ({ step: i + 1, value: Math.sin(i) }));
  const figures = { ...run.figures, loss: points, grad_norm: points, sparsity: points };
  const long = { ...run, figures, layers: [points, points], last: stepOf(60_000) };
  const size = JSON.stringify(runCharts([long])).length;
  assert(size < 1_000_000, `${size}`);
});
