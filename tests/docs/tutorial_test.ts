/** Runs documentation pages as a reader would: all blocks in order, as one program. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { ROOT } from "../exports/deno_command.ts";

interface Block {
  readonly code: string;
  /** The output that the document shows below it; null if none. */
  readonly shown: string | null;
}

/** A document's code blocks, each with the `text` block that follows it, if any. */
function blocksOf(document: string): Block[] {
  const fences = [...document.matchAll(/^```(\S*)[^\n]*\n(.*?)^```$/gms)];
  const blocks: Block[] = [];
  for (const [, language, body = ""] of fences) {
    if (language === "ts") blocks.push({ code: body, shown: null });
    if (language === "text") blocks.push({ code: blocks.pop()!.code, shown: body });
  }
  return blocks;
}

/** Hoists the imports, and separates the blocks' output with marks. */
function programOf(blocks: readonly Block[], mark: string): string {
  const imports: string[] = [];
  const bodies = blocks.map(({ code }) =>
    code.replace(/^import [^;]*;\n/gm, (line) => {
      imports.push(line);
      return "";
    }) + `console.log("${mark}");\n`
  );
  return [...imports, ...bodies].join("");
}

/**
 * Instructions that every x86-64 machine has. Wider vectors sum in other orders, which would show
 * in the numbers after a few hundred training steps.
 */
const SAME_EVERYWHERE = { REMOE_ISA: "baseline", ONEDNN_MAX_CPU_ISA: "SSE41" };

async function run(file: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--check", file],
    cwd: ROOT,
    env: { NO_COLOR: "1", ...SAME_EVERYWHERE },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  assert(success, decoder.decode(stderr));
  return decoder.decode(stdout);
}

async function assertPrintsWhatItShows(page: string, atLeast: number): Promise<void> {
  const blocks = blocksOf(await Deno.readTextFile(`${ROOT}docs/${page}`));
  assertGreater(blocks.filter(({ shown }) => shown !== null).length, atLeast);
  const mark = "-- end of block --";
  const file = await Deno.makeTempFile({ dir: `${ROOT}tests/docs`, suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, programOf(blocks, mark));
    const printed = (await run(file)).split(`${mark}\n`).slice(0, -1);
    assertEquals(printed, blocks.map(({ shown }) => shown ?? ""));
  } finally {
    await Deno.remove(file);
  }
}

Deno.test("the tutorial's program prints what the page shows", async () => {
  await assertPrintsWhatItShows("tutorial.md", 8);
});

Deno.test("the operations page's program prints what the page shows", async () => {
  await assertPrintsWhatItShows("operations.md", 4);
});
