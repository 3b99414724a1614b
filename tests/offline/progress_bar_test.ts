import { assert, assertMatch } from "@std/assert";
import { ProgressBar } from "@std/cli/unstable-progress-bar";

/** Collects what is written. */
function collector(): { writable: WritableStream<Uint8Array>; text(): string; closed(): boolean } {
  let [text, closed] = ["", false];
  const decoder = new TextDecoder();
  const writable = new WritableStream<Uint8Array>({
    write: (chunk) => void (text += decoder.decode(chunk, { stream: true })),
    close: () => void (closed = true),
  });
  return { writable, text: () => text, closed: () => closed };
}

Deno.test("`ProgressBar` draws with the formatter and ends its line", async () => {
  const { writable, text, closed } = collector();
  const bar = new ProgressBar({
    writable,
    max: 10,
    barLength: 10,
    fillChar: "=",
    emptyChar: ".",
    formatter: ({ progressBar, value, max, styledTime }) =>
      `${styledTime} ${progressBar} ${value}/${max}`,
  });
  bar.value = 5;
  await bar.stop();
  assert(text().includes("00:00 .......... 0/10"), text());
  assert(text().endsWith("00:00 =====..... 5/10\n"), text());
  assert(!closed());
});

Deno.test("`ProgressBar` redraws while it runs", async () => {
  const { writable, text } = collector();
  const bar = new ProgressBar({
    writable,
    max: 2,
    interval: 5,
    formatter: ({ value, previousValue }) => `<${previousValue} ${value}>`,
  });
  bar.value = 1;
  await new Promise((resolve) => setTimeout(resolve, 50));
  await bar.stop();
  assert(text().split("<1 1>").length > 3, text());
});

Deno.test("`ProgressBar` removes its line and closes the stream on request", async () => {
  const { writable, text, closed } = collector();
  const bar = new ProgressBar({ writable, max: 1, clear: true, keepOpen: false });
  await bar.stop();
  assert(text().endsWith("\r\x1b[K"), JSON.stringify(text()));
  assert(closed());
});

Deno.test("`ProgressBar` shows bytes by default", async () => {
  const { writable, text } = collector();
  const bar = new ProgressBar({ writable, max: 2048, value: 1024, barLength: 4 });
  await bar.stop();
  assertMatch(text(), /\[00:00\] \[##--\] \[1(\.0+)?\/2(\.0+)? KiB\]\n$/);
});
