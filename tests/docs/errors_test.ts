import { assert } from "@std/assert";

const ROOT = new URL("../../", import.meta.url);

function sources(folder: URL): string {
  return Array.from(Deno.readDirSync(folder), ({ name, isDirectory }) => {
    if (isDirectory) return sources(new URL(`${name}/`, folder));
    return name.endsWith(".ts") ? Deno.readTextFileSync(new URL(name, folder)) : "";
  }).join("\n");
}

Deno.test("docs/errors.md lists existing messages and classes", () => {
  const code = ["lib/", "cli/"].map((folder) => sources(new URL(folder, ROOT))).join("\n");
  // Some start with an action that the caller passes: `Cannot ${action} ${path}`.
  const text = code.replaceAll(/onPath\("([^"]+)"/g, "Cannot $1 ");
  const rows = Deno.readTextFileSync(new URL("docs/errors.md", ROOT))
    .matchAll(/^\| `([^`]+)` *\| (?:`(\w+)`|several)/gm);
  let count = 0;
  for (const [, message = "", name] of rows) {
    count++;
    for (
      const part of message.split("…").map((part) => part.trim()).filter((part) => part !== "")
    ) {
      assert(text.includes(part), `no source says ${JSON.stringify(part)}`);
    }
    if (name !== undefined) assert(code.includes(`class ${name} extends`), name);
  }
  assert(count > 15, `${count} rows were found`);
});
