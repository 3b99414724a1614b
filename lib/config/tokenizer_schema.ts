/** The description of a tokenizer's file in a configuration. @module */

import { z } from "zod";
import type { TokenizerFile } from "../data/tokenizer/tokenizer_file.ts";

const id = z.int().min(0).max(2 ** 31 - 1);

const FILE = z.strictObject({
  path: z.string().min(1).regex(/^[^\0\p{Surrogate}]*$/u),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  vocabulary: id,
  end_of_document: id,
  begin_of_document: id.nullable(),
});

/** A tokenizer file's description. Nobody writes it, so the help leaves it out. */
export function tokenizerFile(): z.ZodType<TokenizerFile> {
  const error = "the description of a tokenizer.json, as in the config.json of an imported model";
  return z.custom<TokenizerFile>((value) => FILE.safeParse(value).success, { error });
}
