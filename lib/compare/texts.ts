/**
 * What the texts of a comparison hold now: runs of one configuration are comparable only if they
 * trained on the same text.
 *
 * @module
 */

import type { DataConfig, TrainConfig } from "../config/config.ts";
import { textIdentity } from "../model/run_corpus.ts";

/** The contents of texts, as they were when they were identified. */
export class Texts {
  readonly #identities: ReadonlyMap<string, string>;

  private constructor(identities: ReadonlyMap<string, string>) {
    this.#identities = identities;
  }

  /**
   * Identifies the texts of runs, each once.
   *
   * @param configs The runs' configurations.
   * @returns The contents.
   * @throws {DataError} If a text cannot be read.
   */
  static async identify(configs: Iterable<Pick<TrainConfig, "data">>): Promise<Texts> {
    const identities = new Map<string, string>();
    for (const { data } of configs) {
      const key = keyOf(data);
      if (!identities.has(key)) identities.set(key, await textIdentity(data));
    }
    return new Texts(identities);
  }

  /**
   * Identifies the content of a configuration's text.
   *
   * @param data The configuration's section.
   * @returns The identity, see `textIdentity()`; undefined if no run of the comparison reads it.
   */
  of(data: DataConfig): string | undefined {
    return this.#identities.get(keyOf(data));
  }
}

function keyOf({ paths, validation_paths }: DataConfig): string {
  return JSON.stringify([paths, validation_paths]);
}
