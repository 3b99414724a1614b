// deno-lint-ignore-file no-explicit-any -- as in the signatures of the original
/**
 * Stand-in for `@std/cli/parse-args`.
 *
 * The traps of the original are kept: a `string` option with nothing after it gives `""`, values
 * that look like numbers become numbers unless listed as `string`, unknown options are accepted
 * unless `unknown` returns false, and `unknown` is asked about positional arguments too.
 *
 * @module
 */

/** Names of options: one, or several. */
type Names<Name extends string> = Name | readonly Name[];

/** Which options there are, and how they read. */
export interface ParseOptions<
  Flag extends string = string,
  Text extends string = string,
  Collected extends string = string,
  Negated extends string = string,
  Defaults extends Record<string, unknown> = Record<string, unknown>,
  DoubleDash extends boolean = boolean,
> {
  /** Whether what follows `--` is kept apart, under `"--"`, instead of in `_`. */
  "--"?: DoubleDash;
  /** Other names of an option. */
  alias?: Record<string, string | readonly string[]>;
  /** Options without a value, false by default; `true`: all `--name` without `=`. */
  boolean?: boolean | Names<Flag>;
  /** Values of options that are not given. */
  default?: Defaults;
  /** Whether everything after the first positional argument is positional. */
  stopEarly?: boolean;
  /** Options whose value stays a string. */
  string?: Names<Text>;
  /** Options that may be repeated; `[]` by default. */
  collect?: Names<Collected>;
  /** Options which `--no-name` sets to false. */
  negatable?: Names<Negated>;
  /** Called for what is not listed; returning false drops it. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

type Known<Name extends string, Value, Collected extends string, Defaults> =
  & { [Key in Extract<Name, Collected>]: Value[] }
  & { [Key in Exclude<Name, Collected> & keyof Defaults]: Value | Defaults[Key] };

/** What the arguments say. */
export type Args<
  Flag extends string = never,
  Text extends string = never,
  Collected extends string = never,
  Negated extends string = never,
  Defaults extends Record<string, unknown> = Record<never, never>,
  DoubleDash extends boolean = false,
> =
  & { _: (string | number)[] }
  & ([Flag | Text | Collected] extends [never] ? Record<string, any>
    :
      & Record<string, unknown>
      & Known<Flag, boolean, Collected, Defaults>
      & { [Key in Exclude<Flag, Collected | keyof Defaults>]: boolean }
      & Known<Text, string, Collected, Defaults>
      & {
        [Key in Exclude<Text, Collected | keyof Defaults>]?:
          | string
          | (Key extends Negated ? false : never);
      }
      & { [Key in Exclude<Collected, Flag | Text>]: unknown[] }
      & { [Key in Exclude<keyof Defaults, Flag | Text | Collected>]: unknown })
  & (DoubleDash extends true ? { "--": string[] } : unknown);

type Values = Record<string, any>;

/**
 * Reads command line arguments.
 *
 * @param args The arguments, such as `Deno.args`.
 * @param options Which options there are.
 * @returns The values by name, and positional arguments under `_`.
 */
export function parseArgs<
  Flag extends string = never,
  Text extends string = never,
  Collected extends string = never,
  Negated extends string = never,
  Defaults extends Record<string, unknown> = Record<never, never>,
  DoubleDash extends boolean = false,
>(
  args: string[],
  options: ParseOptions<Flag, Text, Collected, Negated, Defaults, DoubleDash> = {},
): Args<Flag, Text, Collected, Negated, Defaults, DoubleDash> {
  const end = args.indexOf("--");
  const rest = end < 0 ? [] : args.slice(end + 1);
  const parser = new Parser(end < 0 ? args : args.slice(0, end), options as ParseOptions);
  const values = parser.parse();
  if (options["--"]) values["--"] = rest;
  else values._.push(...rest);
  return values as Args<Flag, Text, Collected, Negated, Defaults, DoubleDash>;
}

class Parser {
  readonly #args: string[];
  readonly #options: ParseOptions;
  readonly #aliases = new Map<string, Set<string>>();
  readonly #booleans: Set<string>;
  readonly #strings: Set<string>;
  readonly #collected: Set<string>;
  readonly #negatable: Set<string>;
  readonly #values: Values = { _: [] };
  #next = 0;

  constructor(args: string[], options: ParseOptions) {
    this.#args = args;
    this.#options = options;
    for (const [name, other] of Object.entries(options.alias ?? {})) {
      const group = [name, ...(typeof other === "string" ? [other] : other)];
      for (const key of group) this.#aliases.set(key, new Set(group.filter((it) => it !== key)));
    }
    this.#booleans = this.#nameSet(typeof options.boolean === "boolean" ? [] : options.boolean);
    this.#strings = this.#nameSet(options.string);
    this.#collected = this.#nameSet(options.collect);
    this.#negatable = this.#nameSet(options.negatable);
  }

  parse(): Values {
    while (this.#next < this.#args.length) {
      const arg = this.#args[this.#next++]!;
      if (/^--./.test(arg)) this.#long(arg);
      else if (/^-./.test(arg)) this.#short(arg);
      else if (this.#positional(arg)) break;
    }
    this.#fillDefaults();
    return this.#values;
  }

  /** `--name`, `--name=value`, `--name value`, `--no-name`. */
  #long(arg: string): void {
    const [, name = "", value] = /^--(.+?)(?:=(.+))?$/s.exec(arg)!;
    if (value !== undefined) {
      this.#set(name, this.#booleans.has(name) ? value !== "false" : value, arg);
      return;
    }
    const negated = name.startsWith("no-") ? name.slice(3) : undefined;
    if (negated !== undefined && this.#negatable.has(negated)) {
      this.#set(negated, false, arg, false);
      return;
    }
    const takesValue = !this.#booleans.has(name) && this.#options.boolean !== true;
    this.#set(name, this.#following(takesValue, /^-/) ?? this.#bare(name), arg);
  }

  /** `-abc`, `-n5`, `-n 5`: every letter an option, the last with a value; `-n=5`: one option. */
  #short(arg: string): void {
    for (let i = 1; i < arg.length; i++) {
      const letter = arg[i]!;
      const tail = arg.slice(i + 1);
      if (tail === "") {
        const takesValue = !this.#booleans.has(letter);
        this.#set(letter, this.#following(takesValue, /^--?[^-]/) ?? this.#bare(letter), arg);
      } else if (tail.includes("=") && /[A-Za-z]/.test(letter)) {
        return this.#set(letter, tail.slice(tail.indexOf("=") + 1), arg);
      } else if (/^-?\d+(\.\d*)?(e-?\d+)?$/.test(tail) || /^\W/.test(tail)) {
        return this.#set(letter, tail, arg);
      } else {
        this.#set(letter, this.#bare(letter), arg);
      }
    }
  }

  /** Takes the next argument where it is this option's value; `true` and `false` always are. */
  #following(takesValue: boolean, option: RegExp): string | boolean | undefined {
    const next = this.#args[this.#next];
    if (!next) return undefined;
    if (takesValue && !option.test(next)) {
      this.#next++;
      return next;
    }
    if (next !== "true" && next !== "false") return undefined;
    this.#next++;
    return next === "true";
  }

  #bare(name: string): string | boolean {
    return this.#strings.has(name) ? "" : true;
  }

  /** Returns whether parsing ends here. */
  #positional(arg: string): boolean {
    if (this.#options.unknown?.(arg) !== false) {
      this.#values._.push(this.#strings.has("_") ? arg : number(arg));
    }
    if (!this.#options.stopEarly) return false;
    this.#values._.push(...this.#args.slice(this.#next));
    return true;
  }

  #set(name: string, value: string | boolean, arg: string, collect = true): void {
    const listed = this.#booleans.has(name) || this.#strings.has(name) || this.#aliases.has(name) ||
      (this.#options.boolean === true && /^--[^=]+$/.test(arg));
    if (!listed && this.#options.unknown?.(arg, name, value) === false) return;
    const read = typeof value === "string" && !this.#strings.has(name) ? number(value) : value;
    for (const key of [name, ...this.#aliases.get(name) ?? []]) {
      const [holder, last] = this.#holder(key);
      if (!(collect && this.#collected.has(name))) holder[last] = read;
      else if (Array.isArray(holder[last])) holder[last].push(read);
      else holder[last] = holder[last] ? [holder[last], read] : [read];
    }
  }

  #fillDefaults(): void {
    for (const [name, value] of Object.entries(this.#options.default ?? {})) {
      for (const key of [name, ...this.#aliases.get(name) ?? []]) this.#default(key, value);
    }
    for (const key of this.#booleans) this.#default(key, this.#collected.has(key) ? [] : false);
    for (const key of this.#strings) if (this.#collected.has(key)) this.#default(key, []);
  }

  #default(key: string, value: unknown): void {
    const [holder, last] = this.#holder(key);
    if (!Object.hasOwn(holder, last)) holder[last] = value;
  }

  /** `model.dim` lives in `values.model` under `dim`. */
  #holder(key: string): [Values, string] {
    const path = key.split(".");
    const last = path.pop()!;
    let holder = this.#values;
    for (const part of path) holder = holder[part] ??= {};
    return [holder, last];
  }

  #nameSet(names: Names<string> | undefined): Set<string> {
    const set = new Set(typeof names === "string" ? [names] : names);
    for (const name of [...set]) {
      for (const alias of this.#aliases.get(name) ?? []) set.add(alias);
    }
    return set;
  }
}

/** Reads what looks like a number as one. */
function number(text: string): string | number {
  const numeric = /^0x[0-9a-f]+$/i.test(text) ||
    /^[-+]?(?:\d+(?:\.\d*)?|\.\d+)(e[-+]?\d+)?$/.test(text);
  return numeric ? Number(text) : text;
}
