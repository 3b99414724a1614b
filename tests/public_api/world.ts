/** Devices for one try, and the host's copies of their tensors. @module */

import { type Device, Device as Devices, type Tensor, write } from "@remoe/remoe";
import { memoryOf } from "../../lib/autograd/device.ts";
import type { DType } from "../../lib/tensor/dtype.ts";
import { elements, HostTensor } from "./entry.ts";

/** Makes tensors and remembers their numbers on the host. */
export class World {
  readonly #known = new WeakMap<object, HostTensor>();
  readonly #disposables: Disposable[] = [];
  readonly #home = Deno.cwd();
  #folder: string | null = null;

  private constructor(
    /** Where the calls run. */
    readonly device: Device,
    /** Where foreign tensors live. */
    readonly other: Device,
    /** One that was closed. */
    readonly closed: Device,
  ) {}

  /** Opens the two devices. */
  static async open(): Promise<World> {
    const options = { kind: "cpu", threads: 1, seed: 5 } as const;
    const [device, other, closed] = [await Devices.open(options), await Devices.open(options)]
      .concat(await Devices.open(options)) as [Device, Device, Device];
    closed.close();
    return new World(device, other, closed);
  }

  /** A separate device for one try. */
  async fresh(): Promise<Device> {
    return this.using(await Devices.open({ kind: "cpu", threads: 1, seed: 5 }));
  }

  /** Disposes of `value` when the try ends. */
  using<T extends Disposable>(value: T): T {
    this.#disposables.push(value);
    return value;
  }

  /** A folder for one try, which is also the working directory. */
  folder(): string {
    if (this.#folder === null) {
      this.#folder = Deno.makeTempDirSync({ dir: this.#home, prefix: "try-" });
      Deno.chdir(this.#folder);
    }
    return this.#folder;
  }

  /** A layer whose parameters hold the numbers of {@linkcode weights}. */
  layer<T extends Disposable & { parameters(): Iterable<Tensor> }>(layer: T): T {
    for (const parameter of layer.parameters()) write(parameter, weights(parameter.shape));
    return this.using(layer);
  }

  /** A tensor of the given numbers, or of small ones that bf16 holds exactly. */
  tensor(dtype: DType, shape: readonly number[], data?: readonly number[], device = this.device) {
    const values = data ?? pattern(dtype, shape);
    const tensor = memoryOf(device).allocate(dtype, shape);
    write(tensor, values);
    return this.know(tensor, new HostTensor(dtype, shape, values));
  }

  /** An fp32 tensor. */
  f32(shape: readonly number[], data?: readonly number[]): Tensor {
    return this.tensor("f32", shape, data);
  }

  /** A one-axis tensor of integers. */
  i32(data: readonly number[]): Tensor {
    return this.tensor("i32", [data.length], data);
  }

  /** Remembers what a tensor holds. */
  know(tensor: Tensor, host: HostTensor): Tensor {
    this.#known.set(tensor, host);
    return tensor;
  }

  /** A tensor's numbers, if it was made here. */
  host(value: unknown): HostTensor | undefined {
    return typeof value === "object" && value !== null ? this.#known.get(value) : undefined;
  }

  /** A copy of `value` with every tensor replaced by its numbers. */
  toHost(value: unknown, readArray: ReadArray = byIndex): unknown {
    const host = this.host(value);
    if (host) return host;
    if (Array.isArray(value)) {
      return readArray(value).map((item) => this.toHost(item, readArray));
    }
    if (!isPlain(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([k, v]) => [k, this.toHost(v, readArray)]),
    );
  }

  /** Ends a try: closes what it opened, and checks that no file in its folder is still open. */
  endTry(): void {
    for (const value of this.#disposables.splice(0).reverse()) value[Symbol.dispose]();
    const folder = this.#folder;
    if (folder === null) return;
    this.#folder = null;
    Deno.chdir(this.#home);
    const left = openFilesIn(folder);
    Deno.removeSync(folder, { recursive: true });
    if (left.length > 0) throw new Error(`left open: ${left.join(", ")}`);
  }

  /** Closes both devices. */
  close(): void {
    this.device.close();
    this.other.close();
  }
}

/** How to read an array; a custom iterator can make the ways differ. */
type ReadArray = (value: readonly unknown[]) => unknown[];

function byIndex(value: readonly unknown[]): unknown[] {
  return Array.from({ length: value.length }, (_, i) => value[i]);
}

/** The files below a folder that this process has open, if the system reports them. */
function openFilesIn(folder: string): string[] {
  if (Deno.build.os !== "linux") return [];
  const open = "/proc/self/fd";
  return Array.from(Deno.readDirSync(open), ({ name }) => linkOf(`${open}/${name}`))
    .filter((path) => path.startsWith(folder));
}

/** A link's target; the link for the directory listing itself is already gone. */
function linkOf(path: string): string {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return "";
  }
}

/** Small numbers that every dtype holds exactly, nonzero in floating-point dtypes. */
export function pattern(dtype: DType, shape: readonly number[]): number[] {
  return Array.from(
    { length: elements(shape) },
    (_, i) => dtype === "i32" ? (3 * i + 1) % 4 : ((7 * i + 3) % 16 - 8) / 4 || 0.125,
  );
}

/** Numbers of a layer's parameter. */
export function weights(shape: readonly number[]): number[] {
  return pattern("f32", shape).map((value) => value / 4);
}

/** Whether a value is an object literal. */
export function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null &&
    Object.getPrototypeOf(value) === Object.prototype;
}
