/** Reads a Hugging Face `config.json` key by key, so that none goes unnoticed. @module */

import { ConfigError } from "../errors.ts";
import { readJsonObject } from "./json_file.ts";

/**
 * Keys that do not change what a model computes when it is used: names, versions, settings of
 * training and of generation.
 */
const INERT: readonly string[] = [
  "_name_or_path",
  "architectures",
  "attention_dropout",
  "bos_token_id",
  "chunk_size_feed_forward",
  "dtype",
  "eos_token_id",
  "id2label",
  "initializer_range",
  "is_encoder_decoder",
  "label2id",
  "max_window_layers",
  "model_type",
  "output_attentions",
  "output_hidden_states",
  "output_router_logits",
  "pad_token_id",
  "pretraining_tp",
  "problem_type",
  "return_dict",
  "router_aux_loss_coef",
  "router_jitter_noise",
  "tokenizer_class",
  "torch_dtype",
  "transformers_version",
  "use_cache",
];

/** An open `config.json`. */
export class ConfigReader {
  /** The file. */
  readonly path: string;
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #read = new Set<string>(INERT);

  /**
   * Opens a file.
   *
   * @param path The file.
   * @throws {ConfigError} It cannot be read, or is not a JSON object.
   */
  constructor(path: string) {
    this.path = path;
    this.#values = readJsonObject(path);
  }

  /** Whether there is a key, whatever it holds. */
  has(key: string): boolean {
    return Object.hasOwn(this.#values, key);
  }

  /** A key's value; null if it is absent. */
  value(key: string): unknown {
    this.#read.add(key);
    return Object.hasOwn(this.#values, key) ? this.#values[key] ?? null : null;
  }

  /** A whole number of at least 1 that the file must hold. */
  size(key: string): number {
    return this.optionalSize(key) ?? this.refuse(key, "expected a whole number of at least 1");
  }

  /** A whole number of at least 1; null if it is absent. */
  optionalSize(key: string): number | null {
    const value = this.value(key);
    if (value === null) return null;
    return Number.isSafeInteger(value) && value as number >= 1
      ? value as number
      : this.refuse(key, "expected a whole number of at least 1");
  }

  /** A number above 0. */
  number(key: string, fallback: number): number {
    const value = this.value(key) ?? fallback;
    return typeof value === "number" && Number.isFinite(value) && value > 0
      ? value
      : this.refuse(key, "expected a number above 0");
  }

  /** True or false. */
  flag(key: string, fallback: boolean): boolean {
    const value = this.value(key) ?? fallback;
    return typeof value === "boolean" ? value : this.refuse(key, "expected true or false");
  }

  /** A text. */
  text(key: string, fallback: string): string {
    const value = this.value(key) ?? fallback;
    return typeof value === "string" ? value : this.refuse(key, "expected a text");
  }

  /**
   * Refuses a key's value.
   *
   * @param key The key; absent ones are shown as missing.
   * @param reason What is expected, or what is not supported.
   */
  refuse(key: string, reason: string): never {
    const value = key.split(".").reduce<unknown>(
      (at, name) => (at as Record<string, unknown> | null | undefined)?.[name],
      this.#values,
    );
    const held = value === undefined ? "is missing" : `is ${JSON.stringify(value)}`;
    throw new ConfigError(`Cannot import ${this.path}: ${key} ${held}, ${reason}`);
  }

  /**
   * Refuses keys that nothing has read. One that is null is switched off.
   *
   * @throws {ConfigError} Names the first.
   */
  refuseOthers(): void {
    const other = Object.keys(this.#values)
      .find((key) => !this.#read.has(key) && this.#values[key] !== null);
    if (other === undefined) return;
    this.refuse(
      other,
      "a key that is not known here and may change what the model computes; remove it if it does not",
    );
  }
}
