import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The project's pages. */
function pages(): string[] {
  const inFolder = (folder: string): string[] =>
    Array.from(Deno.readDirSync(`${ROOT}${folder}`), ({ name }) => `${folder}${name}`);
  return [...inFolder(""), ...inFolder("docs/"), ...inFolder("bench/"), "bench/peers/README.md"]
    .filter((path) => path.endsWith(".md"));
}

function isThere(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

Deno.test("links between the project's pages and files resolve", () => {
  const broken = pages().flatMap((page) => {
    const text = Deno.readTextFileSync(`${ROOT}${page}`);
    return [...text.matchAll(/\]\((?!https?:|#)([^)#\s]+)[^)]*\)/g)]
      .map(([, target]) => new URL(target!, `file://${ROOT}${page}`).pathname)
      .filter((path) => !isThere(path))
      .map((path) => `${page}: ${path}`);
  });
  assertEquals(broken, []);
});

Deno.test("the paths that `CONTRIBUTING.md` lists exist", () => {
  const text = Deno.readTextFileSync(`${ROOT}CONTRIBUTING.md`);
  const places = [
    ...text.matchAll(/(?<=[`_])(?:\.ci|bench|cli|docs|kernels|lib|tests)\/[\w./-]*[a-z]/g),
  ];
  assert(places.length > 40, `${places.length} places were found`);
  assertEquals(places.map(([path]) => path).filter((path) => !isThere(`${ROOT}${path}`)), []);
});

Deno.test("`docs/runs.md` names every field of `metrics.jsonl`", () => {
  const page = Deno.readTextFileSync(`${ROOT}docs/runs.md`);
  const source = Deno.readTextFileSync(`${ROOT}lib/run/metrics_line.ts`);
  const interfaces = [
    ...source.matchAll(/export interface (?:Step|Validation|Flip)Metrics \{(.*?)\n\}/gs),
  ];
  assertEquals(interfaces.length, 3);
  const fields = interfaces.flatMap(([, body]) =>
    [...body!.matchAll(/readonly (\w+)\??:/g)].map(([, name]) => name!)
  );
  assertEquals(fields.filter((name) => !page.includes(`\`${name}\``)), []);
});
