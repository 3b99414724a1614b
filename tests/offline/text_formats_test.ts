import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { parse as parseJsonc } from "@std/jsonc";
import { parse as parseYaml, stringify } from "@std/yaml";

Deno.test("`parse()` of YAML reads the types of a configuration", () => {
  const text = `
preset: nano        # a comment
steps: 500
rate: 1e-3
fast: true
nothing: null
data: [a.txt, "b.txt"]
moe:
  experts: 8
`;
  assertEquals(parseYaml(text), {
    preset: "nano",
    steps: 500,
    rate: 1e-3,
    fast: true,
    nothing: null,
    data: ["a.txt", "b.txt"],
    moe: { experts: 8 },
  });
  assertEquals(parseYaml(""), null);
});

Deno.test("`parse()` of YAML refuses what is not YAML and duplicate keys", () => {
  assertThrows(() => parseYaml("a: [1"), SyntaxError);
  assertThrows(() => parseYaml("a: 1\na: 2"), SyntaxError);
});

Deno.test("`stringify()` writes what `parse()` reads", () => {
  const value = { name: "a: b", list: [1, 2.5, { c: true }], text: "two\nlines", empty: null };
  assertEquals(parseYaml(stringify(value)), value);
  assertEquals(stringify({ a: { b: 1 } }), "a:\n  b: 1\n");
  assertThrows(() => stringify({ a: () => {} }), TypeError);
  assertEquals(stringify({ a: () => {}, b: 1 }, { skipInvalid: true }), "b: 1\n");
});

Deno.test("`parse()` of JSONC reads comments and trailing commas", () => {
  assertEquals(parseJsonc('{ "a": 1, // one\n "b": [1, 2,], /* two */ }'), { a: 1, b: [1, 2] });
  assertEquals(parseJsonc('"text"'), "text");
});

Deno.test("`parse()` of JSONC refuses what is not JSON", () => {
  for (const text of ["", "{", "{ a: 1 }", "[1 2]", "1 2", '{ "a": 01 }']) {
    const error = assertThrows(() => parseJsonc(text), SyntaxError);
    assertStringIncludes(error.message, "JSONC");
  }
});
