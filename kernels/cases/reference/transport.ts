/**
 * Sinkhorn's scaling of a transport of tokens to experts, as the header defines it.
 *
 * @param gates [T, E].
 * @param experts E.
 * @param sharpness Factor of the gates relative to their mean.
 * @param iterations Rounds.
 * @returns The experts' weights [E].
 */
export function transportWeights(
  gates: Float64Array,
  experts: number,
  sharpness: number,
  iterations: number,
): Float64Array {
  const open = gates.filter((gate) => gate !== 0);
  const mean = open.reduce((sum, gate) => sum + gate, 0) / open.length;
  const rows = Array.from(
    { length: gates.length / experts },
    (_, t) => gates.subarray(t * experts, (t + 1) * experts),
  ).filter((row) => row.some((gate) => gate !== 0));
  if (rows.length === 0) return new Float64Array(experts).fill(1);
  const kernel = rows.map((row) => {
    const largest = Math.max(...row);
    return row.map((gate) => Math.exp(Math.max((sharpness * (gate - largest)) / mean, -60)));
  });
  let v = new Float64Array(experts).fill(1);
  for (let round = 0; round < iterations; round++) {
    const mass = new Float64Array(experts);
    for (const row of kernel) {
      const u = 1 / row.reduce((sum, k, e) => sum + k * v[e]!, 0);
      row.forEach((k, e) => mass[e]! += u * k);
    }
    v = mass.map((m) => rows.length / experts / m);
  }
  const prices = v.map((scaling) => 1 / scaling);
  const average = prices.reduce((sum, price) => sum + price, 0) / experts;
  return prices.map((price) => price / average);
}
