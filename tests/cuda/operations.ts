/** The operations under test, from host arrays to host arrays. */

import {
  type KernelContext,
  planExpertOffset,
  planRowToken,
  planTokenOffset,
  planTokenRow,
  PlanWord,
  planWords,
} from "../../lib/ffi/mod.ts";

type HostArray = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Float64Array<ArrayBuffer>;

/** Device memory for the length of a test. */
export class Buffers implements Disposable {
  readonly #context: KernelContext;
  readonly #addresses: bigint[] = [];

  constructor(context: KernelContext) {
    this.#context = context;
  }

  /** Uninitialised memory. */
  empty(bytes: number): bigint {
    const address = this.#context.allocate(bytes);
    this.#addresses.push(address);
    return address;
  }

  /** Memory with the content of a host array. */
  from(values: HostArray): bigint {
    const address = this.empty(values.byteLength);
    this.#context.writeBytes(address, bytesOf(values));
    return address;
  }

  /** Fills a host array from the device. */
  read<A extends HostArray>(address: bigint, values: A): A {
    this.#context.readBytes(address, bytesOf(values));
    return values;
  }

  [Symbol.dispose](): void {
    this.#context.free(this.#addresses);
  }
}

function bytesOf(values: HostArray): Uint8Array<ArrayBuffer> {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** What a router is given: x [tokens, hidden] and w [hidden, experts]. */
export interface RouterInput {
  readonly tokens: number;
  readonly hidden: number;
  readonly experts: number;
  readonly x: Float32Array<ArrayBuffer>;
  readonly w: Float32Array<ArrayBuffer>;
}

/** What it gives back. */
export interface RouterOutput {
  readonly gates: Float32Array<ArrayBuffer>;
  readonly mask: Int32Array<ArrayBuffer>;
  readonly counts: Int32Array<ArrayBuffer>;
  readonly gateSums: Float32Array<ArrayBuffer>;
}

/** Arrays of the right sizes. */
export function routerOutput(tokens: number, experts: number): RouterOutput {
  return {
    gates: new Float32Array(tokens * experts),
    mask: new Int32Array(tokens * Math.ceil(experts / 32)),
    counts: new Int32Array(experts),
    gateSums: new Float32Array(experts),
  };
}

/** `remoe_relu_router_forward`. */
export function reluRouter(k: KernelContext, input: RouterInput): RouterOutput {
  const { tokens, hidden, experts } = input;
  using memory = new Buffers(k);
  const out = routerOutput(tokens, experts);
  const gates = memory.empty(out.gates.byteLength);
  const mask = memory.empty(out.mask.byteLength);
  const counts = memory.empty(out.counts.byteLength);
  const sums = memory.empty(out.gateSums.byteLength);
  const [x, w] = [memory.from(input.x), memory.from(input.w)];
  k.check(
    k.symbols.remoe_relu_router_forward(
      ...[k.handle, gates, mask, counts, sums, x, w] as const,
      ...[tokens, hidden, experts] as const,
    ),
    "relu router",
  );
  return {
    gates: memory.read(gates, out.gates),
    mask: memory.read(mask, out.mask),
    counts: memory.read(counts, out.counts),
    gateSums: memory.read(sums, out.gateSums),
  };
}

/** What the router's gradient is given besides the arrays' sizes. */
export interface GradientInput {
  readonly tokens: number;
  readonly experts: number;
  readonly gates: Float32Array<ArrayBuffer>;
  readonly dgates: Float32Array<ArrayBuffer>;
  readonly counts: Int32Array<ArrayBuffer>;
  readonly lambda: number;
  readonly balance: number;
  readonly active: number;
  readonly scale: number;
}

/** `remoe_relu_router_gradient`; in place, as training calls it, or not. */
export function reluRouterGradient(
  k: KernelContext,
  input: GradientInput,
  inPlace = false,
): Float32Array<ArrayBuffer> {
  using memory = new Buffers(k);
  const dgates = memory.from(input.dgates);
  const dlogits = inPlace ? dgates : memory.empty(input.dgates.byteLength);
  const gates = memory.from(input.gates);
  const counts = memory.from(input.counts);
  const lambda = memory.from(new Float64Array([input.lambda]));
  k.check(
    k.symbols.remoe_relu_router_gradient(
      ...[k.handle, dlogits, dgates, gates, counts, lambda] as const,
      ...[input.balance, input.active, input.scale, input.tokens, input.experts] as const,
    ),
    "relu router gradient",
  );
  return memory.read(dlogits, new Float32Array(input.dgates.length));
}

/** A plan as read back; after an overflow only the header is valid, and only it is read. */
export interface Plan {
  readonly header: Int32Array<ArrayBuffer>;
  readonly expertOffset: Int32Array<ArrayBuffer>;
  readonly tokenOffset: Int32Array<ArrayBuffer>;
  readonly rowToken: Int32Array<ArrayBuffer>;
  readonly tokenRow: Int32Array<ArrayBuffer>;
}

/** `remoe_dispatch_plan`. */
export function dispatchPlan(
  k: KernelContext,
  gates: Float32Array<ArrayBuffer>,
  tokens: number,
  experts: number,
  capacity: number,
): Plan {
  using memory = new Buffers(k);
  const plan = memory.empty(planWords(tokens, experts, capacity) * 4);
  const given = memory.from(gates);
  k.check(
    k.symbols.remoe_dispatch_plan(k.handle, plan, given, tokens, experts, capacity),
    "dispatch plan",
  );
  const read = (first: number, count: number): Int32Array<ArrayBuffer> =>
    memory.read(plan + BigInt(first * 4), new Int32Array(count));
  const header = read(0, PlanWord.header);
  const valid = header[PlanWord.overflow] === 0 ? 1 : 0;
  const rows = valid * header[PlanWord.rows]!;
  return {
    header,
    expertOffset: read(planExpertOffset(), valid * (experts + 1)),
    tokenOffset: read(planTokenOffset(experts), valid * (tokens + 1)),
    rowToken: read(planRowToken(tokens, experts), rows),
    tokenRow: read(planTokenRow(tokens, experts, capacity), rows),
  };
}
