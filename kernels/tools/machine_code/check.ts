/**
 * Holds kernels to their facts.
 *
 * @module
 */

import type { Kernel } from "./disassemble.ts";
import { FACTS, type Facts, SOURCES, violations } from "./facts.ts";

/** The kernels of a kind for one target. */
export interface Group {
  /** Their facts. */
  readonly facts: Facts;
  /** The target. */
  readonly target: string;
  /** The kernels, at least one. */
  readonly kernels: readonly Kernel[];
}

/** Kernels that have facts, and what is wrong with any kernel. */
export interface Checked {
  /** In the order of the facts. */
  readonly groups: readonly Group[];
  /** One line each. */
  readonly faults: readonly string[];
}

/**
 * Checks kernels: each product, expert and attention kernel has the facts of its kind, every kind
 * has a kernel, and nothing else uses local memory, except with a reason.
 *
 * @param kernels All of the library.
 * @returns Groups and faults.
 */
export function checkKernels(kernels: readonly Kernel[]): Checked {
  const required = kernels.filter(({ source }) => SOURCES.test(source));
  const groups = FACTS.flatMap((facts) =>
    facts.targets.map((target) => {
      const own = required.filter((kernel) =>
        kernel.target === target && factsOf(kernel) === facts
      );
      return { facts, target, kernels: own };
    })
  );
  const faults = [
    ...groups.filter(({ kernels }) => kernels.length === 0)
      .map(({ facts, target }) => `no kernel is of the kind "${facts.kind}" for ${target}`),
    ...kernels.flatMap((kernel) =>
      faultsOf(kernel).map((fault) => `${kernel.target} ${kernel.name}: ${fault}`)
    ),
  ];
  return { groups: groups.filter(({ kernels }) => kernels.length > 0), faults };
}

function faultsOf(kernel: Kernel): string[] {
  if (SOURCES.test(kernel.source)) {
    const facts = factsOf(kernel);
    if (facts !== undefined) return violations(facts, kernel, kernel.stack);
    return ["has no facts in kernels/tools/machine_code/facts.ts"];
  }
  return kernel.stack === 0 ? [] : [`uses ${kernel.stack} bytes of local memory per thread`];
}

function factsOf({ name }: Kernel): Facts | undefined {
  return FACTS.find(({ kernels }) => kernels.test(name));
}
