import { assert, assertEquals, assertFalse } from "@std/assert";
import { plotCommand } from "../../../cli/plot/command.ts";
import { PLOT_FLAGS } from "../../../cli/plot/flags.ts";
import { loadRenderer } from "../../../cli/shared/render.ts";
import { textWidth } from "../../../cli/shared/text_width.ts";
import { ROOT, runDeno } from "../../exports/deno_command.ts";
import { stepOf, writeRun } from "../../plot/runs.ts";
import { TemporaryFolder } from "../../temporary_folder.ts";
import { CapturedOutput } from "../captured_output.ts";

interface Result {
  readonly code: number;
  readonly result: string;
  readonly progress: string;
}

/** Runs the command and treats Vega's warnings as failures. */
async function run(...args: string[]): Promise<Result> {
  const output = new CapturedOutput();
  const warnings: string[] = [];
  const code = await plotCommand(args, output, () => loadRenderer((text) => warnings.push(text)));
  assertEquals(warnings, []);
  return { code, result: output.stdout, progress: output.stderr };
}

function namesIn(folder: string): string[] {
  return Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();
}

Deno.test("`plot` draws a run's charts and a page into its directory", async () => {
  using folder = new TemporaryFolder();
  const path = writeRun(`${folder.path}/run`, { domains: ["books", "code & more"] });
  const { code, result, progress } = await run(path);
  assertEquals([code, progress], [0, ""]);
  assert(result.includes(`${path}/plots/index.html`), result);
  assertEquals(namesIn(`${path}/plots`), [
    "domains.svg",
    "index.html",
    "lambda.svg",
    "layers.svg",
    "load.svg",
    "load_history.svg",
    "loss.svg",
    "optimizer.svg",
    "regularization.svg",
    "sparsity.svg",
    "speed.svg",
    "without_expert.svg",
  ]);
  for (const name of namesIn(`${path}/plots`).filter((name) => name.endsWith(".svg"))) {
    const svg = Deno.readTextFileSync(`${path}/plots/${name}`);
    assert(svg.startsWith("<svg xmlns=") && svg.endsWith("</svg>\n"), name);
    assertFalse(/NaN|undefined|Infinity/.test(svg), name);
  }
  const loss = Deno.readTextFileSync(`${path}/plots/loss.svg`);
  for (const text of ["Training and validation loss", "loss (nats per token)", "step", "sparse"]) {
    assert(loss.includes(`>${text}</text>`), text);
  }
});

Deno.test("`plot` plots over tokens, FLOPs or time, with given names", async () => {
  using folder = new TemporaryFolder();
  const runs = ["a", "b"].map((name) => writeRun(`${folder.path}/${name}`));
  const titles = { tokens: "tokens", flops: "executed FLOPs", time: "minutes of training steps" };
  for (const [x, title] of Object.entries(titles)) {
    const out = `${folder.path}/${x}`;
    const { code } = await run(...runs, "--x", x, "--names", "first, second", "--out", out);
    assertEquals(code, 0);
    const loss = Deno.readTextFileSync(`${out}/loss.svg`);
    for (const text of [title, "first", "second"]) assert(loss.includes(`>${text}</text>`), text);
    assertFalse(loss.includes(">step</text>"));
    assert(namesIn(out).includes("load_history-first.svg"));
  }
});

Deno.test("`plot` refuses axes and names that it cannot use", async () => {
  using folder = new TemporaryFolder();
  const runs = ["a", "b"].map((name) => writeRun(`${folder.path}/${name}`));
  const names = "expected 2 different names separated by commas, one per run";
  const cases: [string[], string][] = [
    [["--x", "epochs"], "--x is epochs, expected step, tokens, flops, time"],
    [["--names", "one"], `--names is one, ${names}`],
    [["--names", "one,one"], `--names is one,one, ${names}`],
    [["--names", "one,two,three"], `--names is one,two,three, ${names}`],
    [["--names", "one,"], `--names is one,, ${names}`],
  ];
  for (const [flags, message] of cases) {
    const { code, progress } = await run(...runs, ...flags);
    assertEquals([code, progress], [1, `error: ${message}\n`]);
  }
});

Deno.test("control characters in names are escaped: SVG cannot contain them", async () => {
  using folder = new TemporaryFolder();
  const domains = ["a\u0001b", "red\u001b[31m", "line\nend", "half\ud800", "\u009b2J", "\ufffe"];
  const path = writeRun(`${folder.path}/ru\u0007n`, { domains });
  const { code, result, progress } = await run(path);
  assertEquals([code, progress], [0, ""]);
  // deno-lint-ignore no-control-regex -- what is looked for
  const hidden = /[\0-\x09\x0b-\x1f\x7f-\x9f\ufffe\uffff]/;
  assertFalse(hidden.test(result), result);
  for (const name of namesIn(`${path}/plots`)) {
    assertFalse(hidden.test(Deno.readTextFileSync(`${path}/plots/${name}`)), name);
  }
  const drawn = Deno.readTextFileSync(`${path}/plots/domains.svg`);
  const page = Deno.readTextFileSync(`${path}/plots/index.html`);
  for (const name of ["a\\u0001b", "red\\u001b[31m", "line\\u000aend", "\\u009b2J", "\\ufffe"]) {
    assert(drawn.includes(name) && page.includes(`Validation loss on ${name}`), name);
  }
  assert(page.includes("<title>ru\\u0007n</title>"));
});

Deno.test("`plot` names what it cannot write", async () => {
  using folder = new TemporaryFolder();
  const path = writeRun(`${folder.path}/run`);
  Deno.writeTextFileSync(`${folder.path}/file`, "");
  Deno.mkdirSync(`${folder.path}/out/loss.svg`, { recursive: true });
  const cases = {
    "file/plots": "Cannot make $: a part of its path is not a folder",
    "out": "Cannot write $/loss.svg: it is a folder",
  };
  for (const [out, message] of Object.entries(cases)) {
    const at = `${folder.path}/${out}`;
    const { code, progress } = await run(path, "--out", at);
    assertEquals([code, progress], [1, `error: ${message.replace("$", at)}\n`]);
  }
});

Deno.test("`plot`'s page needs no network, and its SVGs share no ids", async () => {
  using folder = new TemporaryFolder();
  const runs = [
    writeRun(`${folder.path}/<a>`, { domains: ["books"], layers: 13, experts: 32 }),
    writeRun(`${folder.path}/b`, { router: "topk", steps: 7 }),
    writeRun(`${folder.path}/c`, { router: "dense", steps: 1 }),
  ];
  const out = `${folder.path}/out`;
  assertEquals((await run(...runs, "--out", out, "--smooth", "3")).code, 0);
  const page = Deno.readTextFileSync(`${out}/index.html`);
  const links = [...page.matchAll(/(?:src|href|url)[=(]["']?([^"')\s>]+)/g)].map((match) =>
    match[1]!
  );
  assertEquals(links.filter((link) => !link.startsWith("#")), []);
  assertFalse(/<script|@import|<link/.test(page));
  const names = [...page.matchAll(/\bid="([^"]+)"/g)].map((match) => match[1]!);
  assertEquals(new Set(names).size, names.length);
  for (const link of links) assert(names.includes(link.slice(1)), link);
  assert(page.includes("&lt;a&gt;") && !page.includes("<a></"));
  assert(page.includes('<th scope="row">Validation loss on books</th><td>1.0000</td><td>–</td>'));
  assert(page.includes('<th scope="row">moe.experts</th><td>32</td><td>4</td><td>1</td>'));
  // Colours follow the page's theme.
  assert(page.includes("prefers-color-scheme: dark"));
  assertFalse(/<(?:path|text)[^>]*"#1f2328"/.test(page));
});

Deno.test("`plot` draws part of a run, a run of one step, and non-finite values", async () => {
  using folder = new TemporaryFolder();
  const path = writeRun(`${folder.path}/run`);
  const idle = {
    ...stepOf(31),
    grad_norm: NaN,
    loss: Infinity,
    lambda: 0,
    expert_load: [[0, 1, 0, 0]],
  };
  Deno.writeTextFileSync(`${path}/metrics.jsonl`, `${JSON.stringify(idle)}\n{"st`, {
    append: true,
  });
  for (const part of [["--from", "25"], ["--from", "12", "--to", "12"], ["--from", "31"]]) {
    const { code, progress } = await run(path, ...part);
    assertEquals([code, progress], [0, ""], part.join(" "));
  }
});

Deno.test("`plot` reports problems in one message and exits with code 1", async () => {
  using folder = new TemporaryFolder();
  const path = writeRun(`${folder.path}/run`, { steps: 2 });
  const fail = async (...args: string[]): Promise<string> => {
    const { code, result, progress } = await run(...args);
    assertEquals([code, result], [1, ""]);
    assert(progress.startsWith("error: ") && progress.indexOf("\n") === progress.length - 1);
    return progress.slice("error: ".length, -1);
  };
  assertEquals(await fail(), "Which runs? Give their directories, like plot runs/mine; see --help");
  assertEquals(await fail(path, "--form", "3"), "Unknown flag --form, did you mean --from?");
  assertEquals(await fail(path, "-o"), "Unexpected argument -o; see --help");
  assertEquals(
    await fail(path, "--smooth", "0"),
    "--smooth is 0, expected a whole number of at least 1",
  );
  assertEquals(
    await fail(path, "--from", "9", "--to", "3"),
    "--from is 9, expected at most --to (3)",
  );
  assert((await fail(path, "--from", "9")).endsWith("holds no step from 9 to its end"));
  assert((await fail(folder.path)).includes("config.json is missing"));
  Deno.writeTextFileSync(`${path}/metrics.jsonl`, "{\n", { append: true });
  assert((await fail(path)).includes(`Cannot read line 3 of ${path}/metrics.jsonl`));
  assertEquals(namesIn(path), ["config.json", "metrics.jsonl"]);
});

Deno.test("`plot --help` lists every flag", async () => {
  const { code, result } = await run("--help");
  assertEquals(code, 0);
  for (const name of Object.keys(PLOT_FLAGS)) assert(result.includes(`  --${name}`), name);
  for (const line of result.split("\n")) assert(line.length <= 100, line);
});

Deno.test("`textWidth()` is within a tenth of Helvetica's widths", () => {
  // From the font's published metrics, in thousandths of its size.
  for (const [text, width] of [["step", 1890], ["gradient norm", 6169], ["0.875", 2502]] as const) {
    const ratio = textWidth(text, 1000) / width;
    assert(ratio > 0.95 && ratio < 1.1, `${text}: ${ratio}`);
  }
});

Deno.test("only `plot` loads Vega", async () => {
  const packagesOf = async (path: string): Promise<string> => {
    const { stdout } = await runDeno(ROOT, "info", "--json", path);
    return (JSON.parse(stdout) as { modules: { specifier: string }[] }).modules
      .map(({ specifier }) => specifier).filter((specifier) => specifier.includes("vega")).join();
  };
  assertEquals(await packagesOf("cli/train.ts"), "");
  assertEquals(await packagesOf("mod.ts"), "");
  assert((await packagesOf("cli/plot.ts")).includes("vega-lite"));
});
