/**
 * Formats numbers and text for people to read.
 *
 * @module
 */

/**
 * Formats a large number with a decimal prefix.
 *
 * @param value The number.
 * @returns Like `6.56M`.
 */
export function formatCount(value: number): string {
  return withPrefix(value, 1000, ["", "k", "M", "G", "T", "P", "E"]);
}

/**
 * Formats a size in memory.
 *
 * @param bytes The size.
 * @returns Like `25.0 MiB`.
 */
export function formatBytes(bytes: number): string {
  return withPrefix(bytes, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]);
}

/**
 * Formats a rate of arithmetic.
 *
 * @param gflops The rate in GFLOPS.
 * @returns Like `26.9 GFLOPS` or `582 TFLOPS`.
 */
export function formatGflops(gflops: number): string {
  if (gflops < 10_000) return `${gflops.toFixed(1)} GFLOPS`;
  const tflops = gflops / 1000;
  return `${tflops.toFixed(tflops < 100 ? 1 : 0)} TFLOPS`;
}

/**
 * Formats how many units of a device compute at the same time.
 *
 * @param device Its backend and their number.
 * @returns Like `8 threads`, or on a GPU `132 multiprocessors`.
 */
export function formatUnits(
  { backend, threads }: { readonly backend: string; readonly threads: number },
): string {
  const unit = backend === "cuda" ? "multiprocessor" : "thread";
  return `${threads} ${unit}${threads === 1 ? "" : "s"}`;
}

/**
 * Formats a duration.
 *
 * @param seconds The duration.
 * @returns Like `42s`, `1m05s` or `3h20m`.
 */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const pad = (value: number): string => String(value).padStart(2, "0");
  if (hours > 0) return `${hours}h${pad(minutes)}m`;
  return minutes > 0 ? `${minutes}m${pad(whole % 60)}s` : `${whole}s`;
}

/**
 * Formats λ, which spans many orders of magnitude.
 *
 * @param lambda The coefficient.
 * @returns Like `3.1e-4`.
 */
export function formatLambda(lambda: number): string {
  return lambda.toExponential(1);
}

/**
 * Makes a model's text safe to print: it may contain any character, including those that move a
 * terminal's cursor or change its colours.
 *
 * @param text Any text.
 * @returns The text, with U+FFFD for control characters other than newlines.
 */
export function printable(text: string): string {
  return text.replaceAll(/(?!\n)\p{Cc}/gu, "\ufffd");
}

/**
 * Shortens text to the beginning of one line.
 *
 * @param text Any text.
 * @param length Most characters to keep.
 * @returns A line, safe to print.
 */
export function oneLine(text: string, length: number): string {
  const characters = [...printable(text.replaceAll(/\s+/g, " ").trim())];
  return characters.length > length
    ? `${characters.slice(0, length - 1).join("")}…`
    : characters.join("");
}

function withPrefix(value: number, base: number, prefixes: readonly string[]): string {
  let [scaled, index] = [value, 0];
  // 999.6k is 1.00M once rounded to three digits.
  while (Math.abs(scaled) >= base * 0.9995 && index < prefixes.length - 1) {
    [scaled, index] = [scaled / base, index + 1];
  }
  const digits = index === 0 ? 0 : Math.abs(scaled) < 10 ? 2 : Math.abs(scaled) < 100 ? 1 : 0;
  return scaled.toFixed(digits) + prefixes[index]!;
}
