import { assert, assertEquals } from "@std/assert";
import { runCharts } from "../../lib/plot/charts.ts";
import type { Chart } from "../../lib/plot/chart.ts";
import type { DrawOptions } from "../../lib/plot/curve_layers.ts";
import { endLabels } from "../../lib/plot/end_labels.ts";
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

Deno.test("`runCharts()` draws only the router's metrics", () => {
  using folder = new TemporaryFolder();
  const names = (run: TestRun): string =>
    runCharts([runOf(folder, `${run.router}`, run)]).map(({ name }) => name).join(" ");
  assertEquals(
    names({ router: "relu" }),
    "loss sparsity lambda regularization without_expert optimizer speed layers load load_history",
  );
  assertEquals(names({ router: "topk" }), "loss sparsity optimizer speed load load_history");
  assertEquals(names({ router: "dense" }), "loss optimizer speed");
});

Deno.test("several runs share charts, but not those of layers and experts", () => {
  using folder = new TemporaryFolder();
  const runs = [
    runOf(folder, "a", { domains: ["books", "code"] }),
    runOf(folder, "b", { router: "dense", steps: 12 }),
    runOf(folder, "c", { router: "topk" }),
  ];
  const charts = runCharts(runs);
  assertEquals(
    charts.map(({ name }) => name).join(" "),
    "loss domains sparsity lambda regularization without_expert optimizer speed layers-a load-a load_history-a load-c load_history-c",
  );
  const names = new Set(layersOf(chart(charts, "loss")).flatMap(valuesOf).map(({ name }) => name));
  assertEquals(names, new Set(["a", "b", "c"]));
  const planes = chart(charts, "domains")["concat"] as Spec[];
  assertEquals(planes.map(({ title }) => (title as { text: string }).text), ["books", "code"]);
  assert(textOf(chart(charts, "load-c")).includes("fair share: c"));
});

Deno.test("the loss is drawn faint when raw and strong when smoothed, with validations as dots", () => {
  using folder = new TemporaryFolder();
  const [faint, strong, validation] = layersOf(
    chart(runCharts([runOf(folder, "a", { router: "topk" })], { smooth: 5 }), "loss"),
  ) as [Spec, Spec, Spec];
  assertEquals((faint["mark"] as { opacity: number }).opacity, 0.3);
  assertEquals(valuesOf(faint)[9], { name: "training", x: 10, value: 5 / Math.sqrt(10) });
  const mean = [8, 9, 10, 11, 12].reduce((sum, step) => sum + 1 / Math.sqrt(step), 0);
  assert(Math.abs(valuesOf(strong)[9]!["value"] as number - mean) < 1e-12);
  assertEquals(valuesOf(validation).map(({ x }) => x), [10, 20, 30]);
  // Smoothing over one step leaves one curve.
  const rough = layersOf(
    chart(runCharts([runOf(folder, "b", { router: "topk" })], { smooth: 1 }), "loss"),
  );
  assertEquals(rough.map(markOf), ["line", "line", "text"]);
});

Deno.test("the loss is drawn without its warm-up, with a note, and in full on request", () => {
  using folder = new TemporaryFolder();
  const run = runOf(folder, "a");
  const domainOf = (spec: Spec): unknown => {
    const { y } = layersOf(spec)[1]!["encoding"] as { y: { scale: Spec } };
    return y.scale["domain"];
  };
  const of = (run: RunFigures, options: DrawOptions = {}) =>
    chart(runCharts([run], options), "loss");
  assertEquals(run.warm, 21);
  assertEquals(domainOf(of(run)), [5 / Math.sqrt(30), 5 / Math.sqrt(21)]);
  assert(textOf(of(run)).includes("the warm-up lies above"));
  const whole = of(run, { whole: true });
  assertEquals([domainOf(whole), textOf(whole).includes("warm-up")], [undefined, false]);
  // With a warm-up of a few steps, the start still lies above the rest.
  const loss = Array.from({ length: 1000 }, (_, i) => ({ x: i + 1, value: 1 + 8 / (i + 1) }));
  const long = { ...run, warm: 2, figures: { ...run.figures, loss }, validations: [] };
  assertEquals(domainOf(of(long)), [1.008, 1 + 8 / 21]);
  // A validation loss that rises again is not cut off.
  const validations = [{ x: 900, step: 900, valid_loss: 3, valid_bits_per_byte: 4 }];
  assertEquals(domainOf(of({ ...long, validations })), [1.008, 3]);
  // The run ends within the warm-up.
  assertEquals(domainOf(of({ ...run, warm: 30 })), undefined);
});

Deno.test("curves are labelled with their final values, spread apart where they meet", () => {
  const axes = { y: { scale: { domain: [0, 1] } } };
  const curve = (name: string, value: number) => ({ name, points: [{ x: 1, value }] });
  const placed = (...values: number[]) =>
    valuesOf(
      endLabels(values.map((value, i) => curve(`${i}`, value)), axes, (v) => v.toFixed(2), 130)[0]!,
    ).map(({ name, text, value }) => [name, text, Number((value as number).toFixed(6))]);
  assertEquals(placed(0.5, 0.2), [["1", "0.20", 0.2], ["0", "0.50", 0.5]]);
  // Thirteen of 130 pixels are a tenth of the axis.
  assertEquals(placed(0.51, 0.5, 0.52), [["1", "0.50", 0.5], ["0", "0.51", 0.6], [
    "2",
    "0.52",
    0.7,
  ]]);
  assertEquals(placed(0.99, 1), [["0", "0.99", 0.99], ["1", "1.00", 1]]);
  assertEquals(placed(0.2, 0.98, 0.99).at(-1)![2], 1);
  assertEquals(endLabels([{ name: "a", points: [{ x: 1, value: NaN }] }], axes, String), []);
});

Deno.test("a legend names the runs with a curve in the chart, in their colours", () => {
  using folder = new TemporaryFolder();
  const runs = [
    runOf(folder, "dense", { router: "dense" }),
    runOf(folder, "topk", { router: "topk" }),
    runOf(folder, "relu"),
  ];
  const charts = runCharts(runs);
  const colourOf = (name: string): Spec => {
    const spec = chart(charts, name);
    const [plane] = spec["vconcat"] as Spec[] ?? [spec];
    return (layersOf(plane!).at(-1)!["encoding"] as { color: Spec }).color;
  };
  for (
    const [name, drawn] of Object.entries({
      loss: ["dense", "topk", "relu"],
      sparsity: ["topk", "relu"],
      lambda: ["relu"],
      regularization: ["relu"],
      without_expert: ["relu"],
    })
  ) {
    const { legend, scale } = colourOf(name) as { legend: Spec; scale: Spec };
    assertEquals(legend["values"], drawn, name);
    assertEquals(scale["domain"], ["dense", "topk", "relu"], name);
  }
});

Deno.test("L_reg is above λ·L_reg and the loss, and tokens without an expert are a share", () => {
  using folder = new TemporaryFolder();
  const run = runOf(folder, "a");
  const charts = runCharts([run], { smooth: 1 });
  const [term, beside] = chart(charts, "regularization")["vconcat"] as [Spec, Spec];
  assertEquals(valuesOf(layersOf(term)[1]!)[4], { name: "a", x: 5, value: 0.1 });
  const [, losses, terms] = layersOf(beside).map(valuesOf);
  assertEquals(losses![0], { name: "language-model loss", x: 1, value: 5 });
  const { name, value } = terms![4]!;
  assertEquals(name, "λ·L_reg");
  assert(Math.abs(value as number - 0.1 * 1e-8 * 1.2 ** 5) < 1e-15);

  const { data, model } = run.config;
  const pairs = data.batch * data.sequence * model.layers;
  const figures = { ...run.figures, tokens_without_expert: [{ x: 1, value: pairs / 4 }] };
  const shares = layersOf(chart(runCharts([{ ...run, figures }]), "without_expert"));
  assertEquals(valuesOf(shares[1]!), [{ name: "a", x: 1, value: 0.25 }]);
  assertEquals(valuesOf(shares.at(-1)!)[0]!["text"], "25 %");
});

Deno.test("flips have a rate and a count, for the runs that measured them", () => {
  using folder = new TemporaryFolder();
  const runs = [
    runOf(folder, "a", { flips: true }),
    runOf(folder, "b"),
    runOf(folder, "c", { flips: true, router: "topk", experts: 8 }),
  ];
  assert(!runCharts([runs[1]!]).some(({ name }) => name === "flips"));
  const views = chart(runCharts(runs, { smooth: 1 }), "flips")["vconcat"] as Spec[];
  const curves = views.map((view) =>
    layersOf(view).filter((layer) => markOf(layer) === "line").flatMap(valuesOf)
  );
  const expected = (experts: (name: string) => number) =>
    ["a", "c"].flatMap((name) => [10, 20, 30].map((x) => ({ name, x, value: experts(name) / x })));
  assertEquals(curves, [expected(() => 1), expected((name) => name === "a" ? 4 : 8)]);
});

Deno.test("stages are areas behind one run, and lines for several", () => {
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
  assertEquals(valuesOf(lines!), [{ name: "a", x: 11 }, { name: "a", x: 21 }]);
});

Deno.test("sparsity has its target and the range of its layers", () => {
  using folder = new TemporaryFolder();
  const layers = layersOf(chart(runCharts([runOf(folder, "a")]), "sparsity"));
  const area = layers.find((layer) => markOf(layer) === "area")!;
  assertEquals(valuesOf(area).at(-1), { x: 30, low: 0.75, high: 0.76 });
  const target = layers.find((layer) => markOf(layer) === "rule")!;
  assertEquals(valuesOf(target), [{ value: 0.75, x: 1, text: "target 0.75" }]);
});

Deno.test("λ is drawn on a logarithmic axis, without values that have no logarithm", () => {
  using folder = new TemporaryFolder();
  const run = runOf(folder, "a");
  const lambda = run.figures.lambda.with(3, { x: 4, value: 0 });
  const [, curve] = layersOf(
    chart(runCharts([{ ...run, figures: { ...run.figures, lambda } }]), "lambda"),
  );
  const { y } = curve!["encoding"] as { y: { scale: Spec } };
  assertEquals(y.scale["type"], "log");
  assert(valuesOf(curve!).every(({ x }) => x !== 4));
});

Deno.test("load is coloured by its ratio to the fair share, centred at 1", () => {
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

Deno.test("charts of 60,000 steps hold no more points than the eye can distinguish", () => {
  using folder = new TemporaryFolder();
  const run = runOf(folder, "a");
  const points = Array.from({ length: 60_000 }, (_, i) => ({ x: i + 1, value: Math.sin(i) }));
  const figures = { ...run.figures, loss: points, grad_norm: points, sparsity: points };
  const long = { ...run, figures, layers: [points, points], last: stepOf(60_000) };
  const size = JSON.stringify(runCharts([long])).length;
  assert(size < 1_000_000, `${size}`);
});
