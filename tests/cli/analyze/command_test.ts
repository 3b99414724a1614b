import { assert, assertAlmostEquals, assertEquals, assertFalse } from "@std/assert";
import { analyzeCommand } from "../../../cli/analyze/command.ts";
import { ANALYZE_FLAGS } from "../../../cli/analyze/flags.ts";
import { formatCount } from "../../../cli/shared/format.ts";
import { loadRenderer } from "../../../cli/shared/render.ts";
import type { Passage } from "../../../lib/analyze/passage.ts";
import type {
  DomainActiveReport,
  DomainLoadReport,
  FrequencyReport,
  LoadReport,
  SparsityReport,
} from "../../../lib/analyze/reports.ts";
import { routerLabel } from "../../../lib/moe/router_of.ts";
import { ROUTER_NAMES, type RouterName, type RouterPath } from "../../../lib/moe/routers.ts";
import { ROOT } from "../../exports/deno_command.ts";
import { TemporaryFolder } from "../../temporary_folder.ts";
import { CapturedOutput } from "../captured_output.ts";
import { assertRefused, type Finished, runTrain } from "../refusal.ts";

/** Runs the command and treats Vega's warnings as failures. */
async function runAnalyze(folder: TemporaryFolder, ...args: string[]): Promise<Finished> {
  const output = new CapturedOutput();
  const warnings: string[] = [];
  const before = Deno.env.get("INIT_CWD");
  Deno.env.set("INIT_CWD", folder.path);
  try {
    const code = await analyzeCommand(
      [...args, ...(args.includes("--help") ? [] : ["--device=cpu"])],
      output,
      () => loadRenderer((text) => warnings.push(text)),
    );
    assertEquals(warnings, []);
    return { code, stdout: output.stdout, stderr: output.stderr };
  } finally {
    if (before === undefined) Deno.env.delete("INIT_CWD");
    else Deno.env.set("INIT_CWD", before);
  }
}

/** Trains a tiny model on two domains. */
async function trainIn(
  folder: TemporaryFolder,
  router: RouterName | RouterPath,
): Promise<void> {
  for (const [name, line] of [["books", "Once upon a time. "], ["code", "let x = [1, 2];\n"]]) {
    Deno.mkdirSync(`${folder.path}/text/${name}`, { recursive: true });
    for (let i = 0; i < 10; i++) {
      Deno.writeTextFileSync(`${folder.path}/text/${name}/${i}.txt`, `${i} ${line!.repeat(30)}`);
    }
  }
  const sizes = [
    "--set=model.hidden=16",
    "--set=model.ffn=32",
    "--set=data.validation_fraction=0.3",
  ];
  const flags = [
    "--data=text",
    `--router=${router}`,
    `--out=${routerLabel(router)}`,
    "--device=cpu",
  ];
  const experts = router === "dense" ? [] : ["--experts=4"];
  const trained = await runTrain(folder.path, [...sizes, ...flags, ...experts]);
  assertEquals(trained.code, 0, trained.stderr);
}

function namesIn(folder: string): string[] {
  return Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();
}

function json<T>(path: string): T {
  return JSON.parse(Deno.readTextFileSync(path)) as T;
}

/** A router from a file. */
const OWN_ROUTER: RouterPath = `${ROOT}docs/examples/scaled_relu_router.ts`;

const CHARTS = ["domain_active", "domains", "frequency", "load", "sparsity"];

Deno.test("`analyze` looks into a model of every router that routes", async (t) => {
  for (const router of [...ROUTER_NAMES, OWN_ROUTER]) {
    const name = routerLabel(router);
    await t.step(name, async () => {
      using folder = new TemporaryFolder();
      await trainIn(folder, router);
      const finished = await runAnalyze(folder, name, "--tokens=256", "--least=1");
      if (router === "dense") {
        assertRefused(finished, "there is nothing to look at", "dense");
        assertFalse(namesIn(`${folder.path}/dense`).includes("analysis"));
        return;
      }
      assertEquals(finished.code, 0, finished.stderr);
      const out = `${folder.path}/${name}/analysis`;
      assertEquals(
        namesIn(out),
        [
          ...CHARTS.flatMap((name) => [`${name}.json`, `${name}.svg`]),
          ...["expert_tokens.json", "index.html", "text.json"],
        ].sort(),
      );
      for (const name of CHARTS) {
        const svg = Deno.readTextFileSync(`${out}/${name}.svg`);
        assert(svg.startsWith("<svg xmlns=") && svg.endsWith("</svg>\n"), name);
        assertFalse(/NaN|undefined|Infinity/.test(svg), name);
      }
      const load = json<LoadReport>(`${out}/load.json`);
      assertEquals([load.tokens, load.share_of_tokens.length], [256, 2]);
      assert(load.share_of_tokens.flat().every((share) => share >= 0 && share <= 1));
      if (router === "expert-choice") assertMixed(out);
      assertEquals(finished.stdout.includes("for a target of"), router !== "lory");
      if (router === "lory") assertMerged(finished.stdout, out);
    });
  }
});

/** Experts choose among the tokens of a batch: those of one domain alone would get equal numbers. */
function assertMixed(out: string): void {
  const { domains } = json<DomainActiveReport>(`${out}/domain_active.json`);
  const [books, code] = [domains["books"]!, domains["code"]!];
  for (const [layer, active] of books.entries()) assertAlmostEquals(active + code[layer]!, 2, 1e-9);
  assert(books.some((active) => Math.abs(active - 1) > 0.02), `${books}`);
}

/** What is so by construction has no target that it could miss. */
function assertMerged(stdout: string, out: string): void {
  assert(stdout.includes("Router      lory, 4 experts\n"), stdout);
  assert(stdout.includes("by construction, every token uses all 4 experts"), stdout);
  assertFalse(/fair share|specialisation/.test(stdout), stdout);
  assertEquals(json<LoadReport>(`${out}/load.json`).fair_share, 1);
  const { target, sparsity } = json<SparsityReport>(`${out}/sparsity.json`);
  assertEquals([target, sparsity], [0, 0]);
}

Deno.test("the figures of an analysis agree with each other", async () => {
  using folder = new TemporaryFolder();
  await trainIn(folder, "topk");
  const { code, stdout, stderr } = await runAnalyze(folder, "topk", "--tokens=256", "--out=a");
  assertEquals(code, 0, stderr);
  assert(stdout.includes("Sparsity    0.7500 for a target of 0.7500, layers 0.750"), stdout);
  assert(stdout.includes(`Page        ${folder.path}/a/index.html`), stdout);
  const load = json<LoadReport>(`${folder.path}/a/load.json`);
  // TopK with k = 1: each layer's shares add up to one expert per token.
  for (const shares of load.share_of_tokens) {
    assertAlmostEquals(shares.reduce((sum, share) => sum + share), 1, 1e-12);
  }
  const { domains } = json<DomainLoadReport>(`${folder.path}/a/domains.json`);
  assertEquals(Object.keys(domains).sort(), ["books", "code"]);
  assertEquals(Object.values(domains).map(({ tokens }) => tokens), [128, 128]);
  const frequency = json<FrequencyReport>(`${folder.path}/a/frequency.json`);
  const occurrences = frequency.tokens.reduce((sum, token) => sum + token.occurrences, 0);
  assertEquals(occurrences, 256);
  assert(frequency.tokens.every(({ active }) => active === 1));
  assertEquals(frequency.rank_correlation, null);
});

Deno.test("`analyze` measures on other text, shows a text, and takes a checkpoint", async () => {
  using folder = new TemporaryFolder();
  await trainIn(folder, "relu");
  Deno.writeTextFileSync(`${folder.path}/poem.txt`, "Né <script>\ttwo\nlines");
  Deno.writeTextFileSync(`${folder.path}/other.txt`, "Something else. ".repeat(40));
  const { code, stderr } = await runAnalyze(
    folder,
    "relu/checkpoints/step-000003",
    "--data=other=other.txt",
    "--text=poem.txt",
    "--tokens=100",
    "--out=a",
  );
  assertEquals(code, 0, stderr);
  // One domain: nothing to compare.
  assertFalse(namesIn(`${folder.path}/a`).some((name) => name.startsWith("domain")));
  const [passage, ...others] = json<Passage[]>(`${folder.path}/a/text.json`);
  assertEquals([passage!.title, others.length], ["poem.txt", 0]);
  assertEquals(passage!.tokens.slice(0, 4), [
    { id: 256, text: "∎" },
    { id: 78, text: "N" },
    { id: 195, text: "é" },
    { id: 169, text: "" },
  ]);
  assertEquals(passage!.layers.map((row) => row.length), [23, 23]);
  for (const [expert, gate] of passage!.layers.flat(2)) {
    assert(expert >= 0 && expert < 4 && gate > 0);
  }
});

Deno.test("`analyze` says how much text it measures, and which domain weighs less", async () => {
  using folder = new TemporaryFolder();
  await trainIn(folder, "topk");
  Deno.writeTextFileSync(`${folder.path}/long.txt`, "Much of it. ".repeat(400));
  Deno.writeTextFileSync(`${folder.path}/short.txt`, "Little. ".repeat(9));
  // A character that was written, not one that stands for bytes that are none.
  Deno.writeTextFileSync(`${folder.path}/mark.txt`, "a\ufffdé");
  const flags = ["--data=long=long.txt", "--data=short=short.txt", "--text=mark.txt", "--out=a"];
  const { code, stderr } = await runAnalyze(folder, "topk", ...flags, "--tokens=1000000000000");
  assertEquals(code, 0, stderr);
  const { domains, tokens } = {
    ...json<DomainLoadReport>(`${folder.path}/a/domains.json`),
    ...json<LoadReport>(`${folder.path}/a/load.json`),
  };
  assert(domains["long"]!.tokens > 4000 && domains["short"]!.tokens <= 72);
  assert(stderr.includes(`Routing ${formatCount(tokens)} tokens of long, short\n`), stderr);
  const told = `short has ${
    domains["short"]!.tokens
  } of the 500G tokens of its share, and weighs less`;
  assert(stderr.includes(told), stderr);
  const [passage] = json<Passage[]>(`${folder.path}/a/text.json`);
  assertEquals(passage!.tokens.map(({ text }) => text), ["∎", "a", "\ufffd", "", "", "é", ""]);
});

Deno.test("`analyze`'s page needs no network, and text cannot end its script", async () => {
  using folder = new TemporaryFolder();
  await trainIn(folder, "relu");
  const hostile = "</script><img src=https://example.org/x onerror=alert(1)>\u202e\u0007";
  Deno.writeTextFileSync(`${folder.path}/text.txt`, hostile);
  const { code, stderr } = await runAnalyze(folder, "relu", "--tokens=64", "--text=text.txt");
  assertEquals(code, 0, stderr);
  const page = Deno.readTextFileSync(`${folder.path}/relu/analysis/index.html`);
  const links = [...page.matchAll(/(?:src|href|url)[=(]["']?([^"')\s>]+)/g)]
    .map((match) => match[1]!).filter((link) => !link.startsWith("#"));
  assertEquals(links, []);
  // The SVGs name their namespaces; a browser does not fetch those.
  const urls = [...page.matchAll(/\b\w+:\/\/[^"'\s)]+/g)].map(([url]) => url);
  assertEquals(urls.filter((url) => !url.startsWith("http://www.w3.org/")), []);
  assertFalse(/@import|<link|<img|fetch\(|XMLHttpRequest|import\(/.test(page));
  assertEquals(page.split("</script>").length, 3);
  // deno-lint-ignore no-control-regex -- what is looked for
  assertFalse(/[\u202e\u0007]/.test(page));
  const names = [...page.matchAll(/\bid="([^"]+)"/g)].map((match) => match[1]!);
  assertEquals(new Set(names).size, names.length);
  const [, embedded] = /id="routing">(.*?)<\/script>/s.exec(page)!;
  const { passages } = JSON.parse(embedded!);
  assert(passages[0].tokens.some(([, text]: [number, string]) => text === "<"));
});

Deno.test("`analyze` refuses what it cannot use, in one message", async () => {
  using folder = new TemporaryFolder();
  await trainIn(folder, "relu");
  Deno.writeTextFileSync(`${folder.path}/empty.txt`, "");
  Deno.writeFileSync(`${folder.path}/binary.txt`, Uint8Array.of(0xff, 0));
  Deno.writeTextFileSync(`${folder.path}/file`, "");
  const cases: [string[], string][] = [
    [[], "Which model? Give a run's directory, like analyze runs/mine; see --help"],
    [["relu", "relu"], "Cannot analyze 2 runs at once: give one"],
    [["nowhere"], "there is no such folder"],
    [["text"], "it is not a run directory"],
    [["relu", "--tokens", "0"], "--tokens is 0, expected a whole number of at least 1"],
    [["relu", "--top", "x"], "--top is x, expected a whole number of at least 1"],
    [["relu", "--least", "1.5"], "--least is 1.5, expected a whole number of at least 1"],
    [["relu", "--device", "tpu"], "--device is tpu, expected one of auto, cpu, cuda"],
    [["relu", "--dota", "x"], "Unknown flag --dota, did you mean --data?"],
    [["relu", "--text"], "--text needs a value: --text FILE"],
    [["relu", "--text", "missing.txt"], "Cannot read missing.txt"],
    [["relu", "--text", "empty.txt"], "Cannot show empty.txt: it is empty"],
    [["relu", "--text", "binary.txt"], "Cannot read binary.txt as text: it is not text in UTF-8"],
    [["relu", "--data", "missing"], "missing"],
    [["relu", "--out", "file/below", "--tokens", "64"], "Cannot make"],
  ];
  const before = namesIn(`${folder.path}/relu`);
  for (const [args, message] of cases) {
    // `--device=cpu` comes last and would count.
    const flags = args.includes("--device") ? [...args, "--help"].slice(0, -1) : args;
    const output = new CapturedOutput();
    const finished = args.includes("--device")
      ? {
        code: await analyzeCommand(flags, output, loadRenderer),
        ...{ stdout: output.stdout, stderr: output.stderr },
      }
      : await runAnalyze(folder, ...flags);
    assertRefused(finished, message);
  }
  assertEquals(namesIn(`${folder.path}/relu`), before);
});

Deno.test("`analyze --help` lists every flag", async () => {
  using folder = new TemporaryFolder();
  const { code, stdout } = await runAnalyze(folder, "--help");
  assertEquals(code, 0);
  for (const name of Object.keys(ANALYZE_FLAGS)) assert(stdout.includes(`  --${name}`), name);
  for (const line of stdout.split("\n")) assert(line.length <= 100, line);
});
