import { assert, assertEquals } from "@std/assert";

interface Config {
  links?: string[];
  imports: Record<string, string>;
  [key: string]: unknown;
}

const ROOT = new URL("../../", import.meta.url);

function readConfig(path: string): Config {
  return JSON.parse(Deno.readTextFileSync(new URL(path, ROOT)));
}

Deno.test("`jsr.json` is `deno.json` without the links", () => {
  const { links, ...config } = readConfig("deno.json");
  assert(links !== undefined && links.length > 0);
  assertEquals(readConfig("jsr.json"), config, "copy deno.json and leave out the links");
});

Deno.test("every JSR package has a stand-in, and every stand-in is used", () => {
  const { links = [], imports } = readConfig("deno.json");
  const packages = Object.entries(imports).filter(([, target]) => target.startsWith("jsr:"));
  const linked = links.map((link) => readConfig(`${link}/deno.json`));
  assertEquals(
    linked.map(({ name }) => String(name)).sort(),
    packages.map(([name]) => name).sort(),
  );
  for (const { name, version } of linked) assertEquals(version, "1.999.0", String(name));
  for (const [name, target] of packages) assert(target.startsWith(`jsr:${name}@^1`), target);
});
