import { assertEquals } from "@std/assert";
import { ROOT, runDeno } from "./deno_command.ts";

interface Tag {
  readonly kind: string;
  readonly name?: string;
  readonly doc?: string;
}

interface Documented {
  readonly name: string;
  readonly jsDoc?: { readonly doc?: string; readonly tags?: readonly Tag[] };
}

interface Signature {
  readonly params?: readonly unknown[];
  readonly returnType?: { readonly repr?: string };
  readonly hasBody?: boolean;
}

interface Method extends Documented, Signature {
  readonly kind?: "method" | "getter" | "setter";
  readonly functionDef?: Signature;
  readonly accessibility?: string;
}

interface Declaration extends Documented {
  readonly kind: "function" | "class" | "interface" | "typeAlias" | "variable" | "reference";
  readonly declarationKind: string;
  readonly def: Signature & {
    readonly methods?: readonly Method[];
    readonly constructors?: readonly Method[];
    readonly properties?: readonly (Documented & { readonly accessibility?: string })[];
  };
}

interface Symbol_ {
  readonly name: string;
  readonly declarations: readonly Declaration[];
}

async function entries(): Promise<string[]> {
  const config = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`)) as {
    exports: Record<string, string>;
  };
  return Object.values(config.exports);
}

/** The exported symbols of every entry point. */
async function exportedSymbols(): Promise<Symbol_[]> {
  const { code, stdout, stderr } = await runDeno(ROOT, "doc", "--json", ...await entries());
  assertEquals(code, 0, stderr);
  const { nodes } = JSON.parse(stdout) as { nodes: Record<string, { symbols: Symbol_[] }> };
  return Object.values(nodes).flatMap(({ symbols }) => symbols);
}

function tagsOf({ jsDoc }: Documented, kind: string): readonly Tag[] {
  return (jsDoc?.tags ?? []).filter((tag) => tag.kind === kind);
}

/** Reports a missing summary. */
function summaryGaps(name: string, item: Documented): string[] {
  return item.jsDoc?.doc?.trim() ? [] : [`${name} has no summary`];
}

/** Parameters and results without a description. */
function signatureGaps(name: string, item: Documented, signature: Signature): string[] {
  const wanted = signature.params?.length ?? 0;
  const params = tagsOf(item, "param").filter(({ doc }) => doc?.trim());
  const result = signature.returnType?.repr ?? "";
  const isVoid = ["void", "this"].includes(result) || result === "asserts";
  return [
    ...(params.length === wanted
      ? []
      : [`${name} describes ${params.length} of ${wanted} parameters`]),
    ...(isVoid || tagsOf(item, "return").some(({ doc }) => doc?.trim())
      ? []
      : [`${name} does not say what it returns`]),
  ];
}

function isPublic({ accessibility }: { readonly accessibility?: string }): boolean {
  return accessibility !== "private" && accessibility !== "protected";
}

function examplesOf(items: readonly Documented[]): string {
  return items.flatMap((item) => tagsOf(item, "example")).map(({ doc }) => doc ?? "").join("\n");
}

function methodGaps(owner: string, method: Method, examples: string): string[] {
  const { name, kind = "method" } = method;
  if (kind !== "method" || !isPublic(method) || name.startsWith("[")) return [];
  const signature = method.functionDef ?? method;
  const title = `${owner}.${name}()`;
  const isShown = new RegExp(`\\b${name}\\b(\\?\\.)?[(:]`).test(examples + examplesOf([method]));
  const isTrivial = (signature.params?.length ?? 0) === 0;
  return [
    ...summaryGaps(title, method),
    ...signatureGaps(title, method, signature),
    ...(isShown || isTrivial ? [] : [`${title} is in no example`]),
  ];
}

function gapsOf({ name, declarations }: Symbol_, everywhere: string): string[] {
  // Callers do not see the implementation behind overloads; a reference is documented at its
  // target, in another entry point.
  const overloads = declarations.filter((it) => it.kind === "function");
  const seen = declarations.filter((it) => it.kind !== "reference").filter((it) =>
    !(it.kind === "function" && overloads.length > 1 && it.def.hasBody)
  );
  const examples = examplesOf(seen);
  // An error is best shown in the example that catches it.
  const isShown = name.endsWith("Error") ? everywhere.includes(name) : examples.includes("```ts");
  const wantsExample = seen.some(({ kind, def }) =>
    kind === "function" || kind === "class" ||
    kind === "interface" && (def.methods?.length ?? 0) > 0
  );
  return [
    ...(wantsExample && !isShown ? [`${name} has no example`] : []),
    ...seen.flatMap((item) => {
      const members = item.def.methods ?? [];
      return [
        ...summaryGaps(name, item),
        ...(item.kind === "function" ? signatureGaps(name, item, item.def) : []),
        ...members.flatMap((method) => methodGaps(name, method, examples)),
        ...(item.def.constructors ?? []).filter(isPublic).flatMap((made) => [
          ...summaryGaps(`new ${name}()`, made),
          ...signatureGaps(`new ${name}()`, made, {
            params: made.params ?? [],
            returnType: { repr: "void" },
          }),
        ]),
        ...(item.def.properties ?? []).flatMap((property) =>
          property.accessibility === "private"
            ? []
            : summaryGaps(`${name}.${property.name}`, property)
        ),
      ];
    }),
  ];
}

Deno.test("every export is documented, and no public type hides a private one", async () => {
  const files = await entries();
  assertEquals(files.length, 5);
  const { code, stdout, stderr } = await runDeno(ROOT, "doc", "--lint", ...files);
  assertEquals(code, 0, stdout + stderr);
});

Deno.test("no example uses console.assert(), which would print instead of fail", async () => {
  const symbols = await exportedSymbols();
  const printing = symbols.filter(({ declarations }) =>
    examplesOf(declarations.flatMap((item) => [item, ...item.def?.methods ?? []]))
      .includes("console.assert(")
  );
  assertEquals(printing.map(({ name }) => name), []);
});

Deno.test("every export documents its parameters, result and purpose, with an example", async () => {
  const symbols = await exportedSymbols();
  assertEquals(symbols.length > 150, true);
  const everywhere = examplesOf(symbols.flatMap(({ declarations }) => declarations));
  const gaps = [...new Set(symbols.flatMap((symbol) => gapsOf(symbol, everywhere)))];
  assertEquals(gaps, [], gaps.join("\n"));
});
