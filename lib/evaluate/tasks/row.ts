/** A row of a task's file, with its fields checked as they are read. @module */

import { shown } from "../../arguments.ts";
import { brokenCharacter } from "../../data/arguments.ts";
import { DataError } from "../../data/errors.ts";
import type { JsonRow } from "../../data/text/text_readers.ts";

/** A row, or an object within one. Whatever it refuses names the file, the line and the field. */
export class Row {
  readonly #path: string;
  readonly #number: number;
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #prefix: string;

  /**
   * Takes a row as read.
   *
   * @param path The file.
   * @param row Its number and fields.
   * @param prefix The name of the object within the row that the fields are from, with its dot.
   */
  constructor(path: string, { number, fields }: JsonRow, prefix = "") {
    this.#path = path;
    this.#number = number;
    this.#fields = fields;
    this.#prefix = prefix;
  }

  /**
   * Refuses the row.
   *
   * @param reason What is wrong with it.
   * @throws {DataError} Always.
   */
  fail(reason: string): never {
    throw new DataError(`Cannot use line ${this.#number} of ${this.#path}: ${reason}`);
  }

  /** Whether the row has a field. */
  has(name: string): boolean {
    return Object.hasOwn(this.#fields, name);
  }

  /** A field as it is; missing ones are refused. */
  value(name: string): unknown {
    if (this.has(name)) return this.#fields[name];
    const fields = Object.keys(this.#fields).map((field) => this.#prefix + field).join(", ");
    this.fail(`its field ${this.#prefix}${name} is missing; it has ${fields || "none"}`);
  }

  /** A field that is a text. */
  text(name: string): string {
    return this.#textOf(this.#prefix + name, this.value(name));
  }

  /** A field that is a list of at least `least` texts. */
  texts(name: string, least = 1): string[] {
    const value = this.value(name);
    const field = this.#prefix + name;
    if (!Array.isArray(value) || value.length < least) {
      this.fail(
        `its field ${field} is ${shown(value)}, expected a list of at least ${least} texts`,
      );
    }
    return value.map((each, i) => this.#textOf(`${field}[${i}]`, each));
  }

  /** A field that is the index of one of `count` choices, as a number or in digits. */
  index(name: string, count: number): number {
    const value = this.value(name);
    const index = typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value;
    if (Number.isInteger(index) && (index as number) >= 0 && (index as number) < count) {
      return index as number;
    }
    const field = this.#prefix + name;
    return this.fail(
      `its field ${field} is ${shown(value)}, expected the index of a choice, 0 to ${count - 1}`,
    );
  }

  /** A field that is an object. */
  object(name: string): Row {
    return this.#rowOf(name, this.value(name));
  }

  /** Objects in a list, which may come from a field or have been parsed from one. */
  objects(name: string, list: unknown = this.value(name)): Row[] {
    const field = this.#prefix + name;
    if (!Array.isArray(list) || list.length === 0) {
      this.fail(`its field ${field} is ${shown(list)}, expected a list of objects`);
    }
    return list.map((each, i) => this.#rowOf(`${name}[${i}]`, each));
  }

  #rowOf(name: string, value: unknown): Row {
    const field = this.#prefix + name;
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      this.fail(`its field ${field} is ${shown(value)}, expected an object`);
    }
    const row = { number: this.#number, fields: value as Record<string, unknown> };
    return new Row(this.#path, row, `${field}.`);
  }

  #textOf(field: string, value: unknown): string {
    if (typeof value !== "string") {
      this.fail(`its field ${field} is ${shown(value)}, expected a text`);
    }
    const broken = brokenCharacter(value);
    if (broken !== null) this.fail(`its field ${field} ${broken}`);
    return value;
  }
}
