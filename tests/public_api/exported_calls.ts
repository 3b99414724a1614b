/** The calls that the entry points export, as the compiler documents them. @module */

import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const ENTRY_POINTS = ["mod.ts", "lib/tensor/shape.ts", "lib/data/mod.ts"].concat([
  "lib/generate/mod.ts",
  "lib/train/mod.ts",
]);

interface Member {
  readonly name: string;
  readonly accessibility?: string;
}

interface Declaration {
  readonly kind: string;
  readonly def: { readonly constructors?: Member[]; readonly methods?: Member[] };
}

interface Documentation {
  readonly nodes: Record<
    string,
    { readonly symbols: { readonly name: string; readonly declarations: Declaration[] }[] }
  >;
}

/** `add`, `new AdamW`, `Device.zeros`: every function, public constructor and method. */
export async function exportedCalls(): Promise<Set<string>> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", ...ENTRY_POINTS],
    cwd: ROOT,
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  const { nodes }: Documentation = JSON.parse(new TextDecoder().decode(stdout));
  const symbols = Object.values(nodes).flatMap(({ symbols }) => symbols);
  return new Set(
    symbols.flatMap(({ name, declarations }) =>
      declarations.flatMap(({ kind, def }) => {
        if (kind === "function") return [name];
        if (kind !== "class") return [];
        const isPublic = ({ accessibility }: Member): boolean => accessibility !== "private";
        return [
          ...(def.constructors ?? []).filter(isPublic).map(() => `new ${name}`),
          ...(def.methods ?? []).filter(isPublic).map((method) => `${name}.${method.name}`),
        ];
      })
    ),
  );
}
