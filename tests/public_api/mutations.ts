/** Mutations of an argument, by its kind. @module */

import { Device, type Tensor } from "@remoe/remoe";
import type { DType } from "../../lib/tensor/dtype.ts";
import type { HostTensor } from "./entry.ts";
import { isPlain, type World } from "./world.ts";

/** One change to a call's arguments. */
export interface Mutation {
  /** Where, and to what. */
  readonly name: string;
  /** Applies the change to fresh arguments. */
  readonly apply: (args: unknown[], world: World) => void;
  /** Whether it puts non-finite numbers into a tensor. */
  readonly isNonFinite?: boolean;
  /** Whether an array's iterator disagrees with its indices: either reading is right. */
  readonly isTwoFaced?: boolean;
  /** Called right before the call, once the arguments have been examined. */
  readonly beforeCall?: () => void;
}

type Path = readonly (string | number)[];
type Replacement = readonly [name: string, make: (world: World, value: unknown) => unknown];

/** Callbacks that fill their argument and return nothing. */
const FILLING: ReadonlySet<unknown> = new Set(["read"]);

/** Maximum depth of nested options. */
const DEPTH = 3;
const MEBI = 2 ** 20;
const TWO_FACED = "frozen, with an iterator of its own";

const NUMBERS: readonly Replacement[] = [NaN, Infinity, -Infinity, -1, 0, 0.5, 2 ** 31, 2 ** 32]
  .concat([2 ** 53, -0.0, 1e300]).map((value) => constant(value));
const STRANGERS: readonly Replacement[] = [null, undefined, "3", 3n, {}, [], true].map(constant);

const SHAPES: readonly Replacement[] = [
  ...[[], [0], [2.5], [-1], [NaN], [2 ** 31], [2 ** 32], [2 ** 53, 2 ** 53], ["2"], [null]],
  ...[[2 ** 16, 2 ** 16], [65536, 65537, 65536, 65536], [-2, -3], Array<number>(40).fill(1)],
].map((shape) => [`[${shape.slice(0, 5)}]#${shape.length}`, () => [...shape]] as const);

const GIVERS: readonly Replacement[] = [
  ["gives nothing", () => () => undefined],
  ["gives 3", () => () => 3],
];

const DISPOSED: Replacement = ["disposed", (_, value) => {
  (value as Disposable)[Symbol.dispose]();
  return value;
}];

function constant(value: unknown): Replacement {
  const name = typeof value === "bigint" ? `${value}n` : Deno.inspect(value);
  return [name, () => Array.isArray(value) ? [] : isPlain(value) ? {} : value];
}

function again(
  name: string,
  change: (host: HostTensor, world: World) => Tensor,
): Replacement {
  return [name, (world, value) => change(world.host(value)!, world)];
}

function shapes(shape: readonly number[]): (readonly number[])[] {
  const changed = [[...shape, 1], [1, ...shape], [...shape, 2], shape.slice(1), shape.slice(0, -1)];
  changed.push([], [...shape].reverse());
  shape.forEach((size, axis) => {
    for (const other of [size + 1, size - 1, 1, 2 * size]) changed.push(shape.with(axis, other));
  });
  const own = shape.join();
  const seen = new Map(changed.map((other) => [`[${other}]`, other]));
  return [...seen.values()].filter((other) =>
    !other.includes(0) && (other.join() !== own || other.length !== shape.length)
  );
}

function ofTensor({ dtype, shape, data }: HostTensor): Replacement[] {
  const list: Replacement[] = (["f32", "bf16", "i32", "f64"] as const)
    .filter((other: DType) => other !== dtype)
    .map((other) => again(other, (_, world) => world.tensor(other, shape)));
  for (const other of shapes(shape)) {
    list.push(again(`shape [${other}]`, (_, world) => world.tensor(dtype, other)));
  }
  list.push(again("foreign", (_, world) => world.tensor(dtype, shape, data, world.other)));
  list.push(DISPOSED);
  if (dtype === "i32") {
    for (const value of [-1, -(2 ** 31), 2 ** 31 - 1]) {
      list.push(
        again(`values ${value}`, (_, world) => world.tensor(dtype, shape, data.map(() => value))),
      );
    }
  }
  return list.concat([3, ...[null, undefined, {}, "x", []]].map(constant));
}

/** Non-finite numbers in the first position, the last, and all. */
function nonFinite({ dtype, shape, data }: HostTensor): Replacement[] {
  if (dtype === "i32") return [];
  return [NaN, Infinity, -Infinity].flatMap((value) =>
    Object.entries({
      first: data.with(0, value),
      last: data.with(-1, value),
      all: data.map(() => value),
    }).map(([which, values]) =>
      again(`${which} ${value}`, (_, world) => world.tensor(dtype, shape, values))
    )
  );
}

function ofValue(
  value: unknown,
  host: HostTensor | undefined,
  key: unknown,
): readonly Replacement[] {
  if (host) return ofTensor(host);
  switch (typeof value) {
    case "number":
      return [...NUMBERS, ...STRANGERS];
    case "string":
      return ["", "unknown", "a\0b", "__proto__", 3, null, undefined, {}].map(constant);
    case "boolean":
      return ["yes", 1, null, undefined].map(constant);
    case "function":
      return [
        ...[3, null, undefined, {}].map(constant),
        ...FILLING.has(key) ? [] : GIVERS,
      ];
    case "object":
      return ofObject(value);
  }
  return [];
}

function ofObject(value: unknown): readonly Replacement[] {
  if (value instanceof Device) {
    const others = ["closed", "other"] as const;
    const devices = others.map((which): Replacement => [which, (world) => world[which]]);
    return [...devices, ...STRANGERS];
  }
  if (Array.isArray(value)) {
    const numbers = value.every((item) => typeof item === "number");
    return [
      ...(numbers ? SHAPES : [constant([])]),
      ["longer", (_, list) => [...list as unknown[], ...list as unknown[]]],
      ["shorter", (_, list) => (list as unknown[]).slice(0, -1)],
      [TWO_FACED, (_, list) => shortIterated(list as unknown[])],
      ["with a hole", (_, list) => Object.assign([...list as unknown[]], { length: 9 })],
      ...[null, undefined, 3, "x", {}].map(constant),
    ];
  }
  const strangers = [null, undefined, 3, "x", {}, []].map(constant);
  return isDisposable(value) ? [DISPOSED, ...strangers] : strangers;
}

/** An array whose iterator, and hence a spread, yields only its first element. */
class ShortIterated extends Array<unknown> {
  override *[Symbol.iterator](): ArrayIterator<unknown> {
    if (this.length > 0) yield this[0];
  }
}

function shortIterated(list: readonly unknown[]): readonly unknown[] {
  const made = new ShortIterated();
  list.forEach((item, i) => made[i] = item);
  return Object.freeze(made);
}

function isDisposable(value: unknown): boolean {
  return typeof value === "object" && value !== null && !isPlain(value) && Symbol.dispose in value;
}

/** All positions in the arguments that can be changed, top-level arguments first. */
function* places(value: unknown, world: World, path: Path): Generator<readonly [Path, unknown]> {
  yield [path, value];
  if (world.host(value) || path.length > DEPTH) return;
  if (Array.isArray(value)) {
    for (let i = 0; i < Math.min(value.length, 3); i++) {
      yield* places(value[i], world, [...path, i]);
    }
  } else if (isPlain(value)) {
    for (const [key, item] of Object.entries(value)) yield* places(item, world, [...path, key]);
  }
}

/**
 * Options that are valid on the first read and differ on the second: a check of the first says
 * nothing about the second, which may size device memory.
 */
function changing(path: Path): Mutation {
  let isCalled = false;
  const key = path.at(-1)!;
  return {
    name: `${path.join(".")} → says something else later`,
    apply(args) {
      isCalled = false;
      // deno-lint-ignore no-explicit-any
      const holder = path.slice(0, -1).reduce((value: any, key) => value[key], args);
      const value = holder[key];
      let reads = 0;
      const get = () => isCalled && reads++ > 0 ? typeof value === "number" ? MEBI : null : value;
      Object.defineProperty(holder, key, { get, enumerable: true, configurable: true });
    },
    beforeCall: () => void (isCalled = true),
  };
}

function put(args: unknown[], path: Path, change: (value: unknown) => unknown): void {
  // deno-lint-ignore no-explicit-any
  const holder = path.slice(0, -1).reduce((value: any, key) => value[key], args);
  const key = path.at(-1)!;
  if (!Object.hasOwn(holder, key)) throw new Error(`there is no ${path.join(".")}`);
  holder[key] = change(holder[key]);
}

/**
 * Every mutation of a call.
 *
 * @param args Its valid arguments.
 * @param world The world that made them.
 * @param first The first argument to mutate: a method's object is skipped.
 */
export function mutationsOf(args: readonly unknown[], world: World, first: number): Mutation[] {
  const found = args.flatMap((value, i) => i < first ? [] : [...places(value, world, [i])]);
  const list: Mutation[] = first > 0 ? [{ name: "its object disposed", apply: endObject }] : [];
  const usesDevice = args.some((value) => value instanceof Device || world.host(value));
  for (const [path, value] of found) {
    const host = world.host(value);
    const add = (replacements: readonly Replacement[], isNonFinite: boolean) => {
      for (const [name, make] of replacements) {
        list.push({
          name: `${path.join(".")} → ${name}`,
          apply: (args, world) => put(args, path, (value) => make(world, value)),
          isNonFinite,
          isTwoFaced: name === TWO_FACED,
        });
      }
    };
    add(ofValue(value, host, path.at(-1)), false);
    if (host) add(nonFinite(host), true);
    if (usesDevice && path.length === 2 && typeof path[1] === "string") list.push(changing(path));
  }
  const tensors = found.filter(([, value]) => world.host(value));
  for (const [to] of tensors) {
    for (const [from] of tensors) {
      if (from === to) continue;
      list.push({
        name: `${to.join(".")} → ${from.join(".")}`,
        apply: (args) => repeat(args, from, to),
      });
    }
  }
  list.push(
    { name: "the device closed", apply: (_, world) => world.device.close() },
    { name: "no arguments", apply: (args) => void args.splice(first) },
    { name: "last argument missing", apply: (args) => void (args.length > first && args.pop()) },
  );
  return list;
}

/** Both changes in order; the second skips what the first removed. */
export function pairOf(first: Mutation, second: Mutation): Mutation {
  return {
    name: `${first.name} and ${second.name}`,
    isNonFinite: [first, second].some(({ isNonFinite }) => isNonFinite),
    isTwoFaced: [first, second].some(({ isTwoFaced }) => isTwoFaced),
    beforeCall: () => [first, second].forEach(({ beforeCall }) => beforeCall?.()),
    apply: (args, world) => {
      first.apply(args, world);
      try {
        second.apply(args, world);
      } catch {
        // Nothing is left at that position.
      }
    },
  };
}

function endObject(args: unknown[], world: World): void {
  const object = args[0] as Disposable;
  if (object instanceof Device) args[0] = world.closed;
  else object[Symbol.dispose]?.();
}

function repeat(args: unknown[], from: Path, to: Path): void {
  // deno-lint-ignore no-explicit-any
  const value = from.reduce((value: any, key) => value[key], args);
  put(args, to, () => value);
}

/** Changes every array and plain object in the arguments in place, as a caller may after a call. */
export function scramble(value: unknown, world: World, depth = 0): void {
  if (world.host(value) || depth > DEPTH) return;
  if (Array.isArray(value)) {
    value.forEach((item) => scramble(item, world, depth + 1));
    value.fill(MEBI).push(MEBI);
  } else if (value instanceof Int32Array || value instanceof Float32Array) {
    value.fill(MEBI);
  } else if (isPlain(value)) {
    for (const key of Object.keys(value)) {
      scramble(value[key], world, depth + 1);
      value[key] = MEBI;
    }
  }
}
