/** Runs the commands of docs/permissions.md exactly as shown, granting nothing more. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type Outcome, ROOT, runDeno } from "../exports/deno_command.ts";
import { CPU_LIBRARY } from "../kernels/open_library.ts";

const PAGE = await Deno.readTextFile(`${ROOT}docs/permissions.md`);

/** The program of a reader's project. */
const MAIN = `import { Device, matmul, read } from "@remoe/remoe";
using device = await Device.open({ library: ${JSON.stringify(CPU_LIBRARY)} });
console.log([...await read(matmul(device.ones([1, 2]), device.ones([2, 1])))]);
`;

/** The commands under a heading, each as a list of words without its \`deno\`. */
function commandsOf(heading: string): string[][] {
  const section = PAGE.split(/^## /m).find((text) => text.startsWith(`${heading}\n`));
  assert(section !== undefined, heading);
  return [...section.matchAll(/^```sh\ndeno (.*)\n```$/gm)].map(([, line]) =>
    [...line!.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, word]) => quoted ?? word!)
  );
}

/** Replaces the page's placeholders with paths, and keeps the run short. */
function arguments_(words: readonly string[]): string[] {
  const [run, ...rest] = words.map((word) =>
    word.replace("LIBRARY", CPU_LIBRARY).replace(/^cli\//, `${ROOT}cli/`)
  );
  const isNew = rest.includes("--preset") && !rest.includes("--dry-run");
  const short = ["--steps", "2", "--set", "sample.tokens=5", "--set", "validation.batches=1"];
  return [run!, "--no-prompt", ...rest, ...(isNew ? short : [])];
}

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const lines = Array.from({ length: 400 }, (_, i) => `Line ${i} of a text about nothing.\n`);
    await Deno.writeTextFile(`${folder}/text.txt`, lines.join(""));
    const config = { links: [ROOT], imports: { "@remoe/remoe": "jsr:@remoe/remoe@^0.1.0" } };
    await Deno.writeTextFile(`${folder}/deno.json`, JSON.stringify(config));
    await Deno.writeTextFile(`${folder}/main.ts`, MAIN);
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function succeed(folder: string, words: readonly string[]): Promise<Outcome> {
  // A command of the checkout uses the checkout's configuration, as it would there.
  const isOurs = words.some((word) => word.startsWith("cli/"));
  const [run, ...rest] = arguments_(words);
  const config = isOurs ? ["--config", `${ROOT}deno.json`] : [];
  const outcome = await runDeno(folder, run!, ...config, ...rest);
  assertEquals(outcome.code, 0, `${words.join(" ")}\n${outcome.stderr}`);
  return outcome;
}

Deno.test("the page's commands work with exactly the permissions they grant", async () => {
  await inFolder(async (folder) => {
    const [train, resume, cached] = commandsOf("Train");
    const trained = await succeed(folder, train!);
    assertStringIncludes(trained.stdout, "Finished 2 steps");
    assertStringIncludes((await succeed(folder, resume!)).stdout, "Finished 4 steps");

    await succeed(folder, cached!);
    assert((await Array.fromAsync(Deno.readDir(`${folder}/cache/tokens`))).length > 0);

    const [generate] = commandsOf("Generate");
    assert((await succeed(folder, generate!)).stdout.startsWith("The "));
    const [analyze] = commandsOf("Analyze");
    assertStringIncludes((await succeed(folder, analyze!)).stdout, "mine/analysis/index.html");
    const [evaluate] = commandsOf("Evaluate");
    assertStringIncludes((await succeed(folder, evaluate!)).stdout, "mine/evaluation/results_");
    assertStringIncludes((await succeed(folder, commandsOf("Sizes only")[0]!)).stdout, "182m");
    assertEquals((await succeed(folder, commandsOf("In another project")[0]!)).stdout, "[ 2 ]\n");

    // Each of these permissions is needed: without it the command names it and exits.
    // A model is looked for before its text is, so only a run that exists gets that far.
    const names = [[train!, "another"], [generate!, "another"], [analyze!, "mine"], [
      evaluate!,
      "mine",
    ]] as const;
    for (const [command, name] of names) {
      for (const left of command.filter((word) => word.startsWith("--allow-"))) {
        const [flag] = left.split("=");
        const less = command.filter((word) => word !== left).map((word) =>
          word === "mine" ? name : word.replace("mine", name)
        );
        const [run, ...rest] = arguments_(less);
        const outcome = await runDeno(folder, run!, "--config", `${ROOT}deno.json`, ...rest);
        assertEquals(outcome.code, 1, less.join(" "));
        assertStringIncludes(outcome.stderr, `${flag}=`);
        assertStringIncludes(outcome.stderr, "without permission");
      }
    }
    const left = await Array.fromAsync(Deno.readDir(folder), ({ name }) => name);
    assert(!left.includes("another"), "a refused command left something behind");
  });
});

Deno.test("the page shows the command's message verbatim", async () => {
  const shown = /^```text\n(error: .*)\n```$/m.exec(PAGE)?.[1];
  await inFolder(async (folder) => {
    const [run, ...rest] = arguments_(
      commandsOf("Train")[0]!.filter((word) => !/^--allow-(read|write)/.test(word)),
    );
    const { code, stderr } = await runDeno(folder, run!, "--config", `${ROOT}deno.json`, ...rest);
    assertEquals([code, stderr.trim()], [1, shown]);
  });
});
