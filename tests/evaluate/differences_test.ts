/** Paired differences between two models, with scores that are known. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { type Differences, differencesOf, type Measured } from "../../lib/evaluate/differences.ts";
import { scoreTask } from "../../lib/evaluate/task_results.ts";
import type { PreparedTask } from "../../lib/evaluate/task_results.ts";
import type { Item } from "../../lib/evaluate/tasks/task.ts";
import type { TaskName } from "../../lib/evaluate/tasks/tasks.ts";
import { measureText, type TextDomains } from "../../lib/evaluate/text_loss.ts";
import { tQuantile } from "../../lib/statistics.ts";
import type { Scorer } from "../../lib/evaluate/scorer.ts";

/** Scores requests with given log-likelihoods, one after the other. */
function scoresOf(logLikelihoods: readonly number[]): Scorer {
  let next = 0;
  return {
    cost: () => 0,
    score: (items) =>
      items.map((requests) =>
        requests.map(() => ({ logLikelihood: logLikelihoods[next++]!, isGreedy: false }))
      ),
  };
}

const REQUEST = { tokens: new Int32Array(2), scored: 1, isCut: false };

/** A task of items with two answers, of which the second is right. */
function taskOf(name: TaskName, items: number, answers = 2): PreparedTask {
  const continuations = [" a", " b"].slice(0, answers);
  const item: Item = { context: "", continuations, gold: answers - 1 };
  return {
    ...{ name, file: "", total: items, tokens: 0, cut: 0 },
    items: Array.from({ length: items }, () => item),
    requests: Array.from({ length: items }, () => continuations.map(() => REQUEST)),
  };
}

/** What a model measures that answers items right or wrong. */
function answered(name: TaskName, right: readonly boolean[]): Measured {
  const scores = right.flatMap((isRight) => isRight ? [-2, -1] : [-1, -2]);
  return { text: null, tasks: [scoreTask(taskOf(name, right.length), scoresOf(scores))] };
}

/** Documents of given bytes, by domain. */
function documents(bytes: Readonly<Record<string, readonly number[]>>): TextDomains {
  return new Map(
    Object.entries(bytes).map(([name, each]) => [
      name,
      each.map((bytes) => ({ requests: [REQUEST], tokens: 1, bytes, sha256: "" })),
    ]),
  );
}

function read(domains: TextDomains, nats: readonly number[]): Measured {
  return { tasks: [], text: measureText(domains, scoresOf(nats.map((each) => -each))) };
}

Deno.test("accuracies differ item by item, with Student's interval", () => {
  const model = answered("piqa", [true, true, false, true]);
  const baseline = answered("piqa", [true, false, false, false]);
  const { tasks, accuracy, text, domains } = differencesOf(model, baseline);
  const { items, value, standardError, interval } = tasks.get("piqa")!.get("acc")!;
  // Differences 0, 1, 0, 1: a deviation of √(1/3), and t of three degrees of freedom is 3.18245.
  assertEquals([items, value], [4, 0.5]);
  assertAlmostEquals(standardError!, Math.sqrt(1 / 3 / 4), 1e-12);
  assertAlmostEquals(interval![1], 0.5 + 3.18245 * Math.sqrt(1 / 12), 1e-5);
  assertEquals(tasks.get("piqa")!.get("acc_norm")!.value, 0.5);
  assertEquals(accuracy!.value, 0.5);
  assertEquals([text, domains.size], [null, 0]);
});

Deno.test("perplexities differ by a factor, given as its logarithm", () => {
  const lambada = (scores: readonly number[]): Measured => ({
    text: null,
    tasks: [scoreTask(taskOf("lambada_openai", scores.length, 1), scoresOf(scores))],
  });
  const [model, baseline] = [lambada([-1, -4]), lambada([-2, -6])];
  const { value, interval } = differencesOf(model, baseline).tasks.get("lambada_openai")!
    .get("perplexity")!;
  const perplexity = ({ tasks }: Measured) => tasks[0]!.figures.get("perplexity")!.value;
  assertAlmostEquals(Math.exp(value), perplexity(model) / perplexity(baseline), 1e-12);
  // Differences of -1 and -2.
  assertAlmostEquals(interval![0], -1.5 - 12.7062 * 0.5, 1e-4);
});

Deno.test("the mean over tasks has the error of independent samples", () => {
  const both = (piqa: readonly boolean[], boolq: readonly boolean[]): Measured => ({
    text: null,
    tasks: [...answered("piqa", piqa).tasks, ...answered("boolq", boolq).tasks],
  });
  const { tasks, accuracy } = differencesOf(
    both([true, true, false], [true, false]),
    both([false, true, false], [false, false]),
  );
  const errors = ["piqa", "boolq"] as const;
  const [a, b] = errors.map((name) => tasks.get(name)!.get("acc")!);
  assertAlmostEquals(accuracy!.value, (1 / 3 + 1 / 2) / 2, 1e-12);
  assertAlmostEquals(
    accuracy!.standardError!,
    Math.hypot(a!.standardError!, b!.standardError!) / 2,
    1e-12,
  );
  assertEquals(accuracy!.items, 5);
  // Two and one degrees of freedom, weighted as Welch and Satterthwaite do.
  const [u, v] = [a!.standardError! ** 2, b!.standardError! ** 2];
  const freedom = (u + v) ** 2 / (u ** 2 / 2 + v ** 2);
  assertAlmostEquals(
    accuracy!.interval![1] - accuracy!.value,
    tQuantile(0.975, freedom) * accuracy!.standardError!,
    1e-12,
  );
});

Deno.test("items that all differ by as much leave the interval open", () => {
  const { tasks, accuracy } = differencesOf(
    answered("piqa", [true, true]),
    answered("piqa", [false, false]),
  );
  const { value, standardError, interval } = tasks.get("piqa")!.get("acc")!;
  assertEquals([value, standardError, interval, accuracy!.interval], [1, 0, null, null]);
});

Deno.test("bits per byte differ as the figures do, document by document", () => {
  const domains = documents({ a: [5, 2], b: [1] });
  const model = read(domains, [15, 4, 7]);
  const { domains: byDomain, text } = differencesOf(model, read(domains, [14, 2, 9]));
  // Differences of 1 and 2 nats over 7 bytes; residuals 1 - 5 * 3/7 and 2 - 2 * 3/7, ±8/7.
  const { items, value, standardError } = byDomain.get("a")!;
  assertEquals(items, 2);
  assertAlmostEquals(value, 3 / 7 / Math.LN2, 1e-12);
  assertAlmostEquals(standardError!, Math.sqrt(2 * (8 / 7) ** 2 * 2) / 7 / Math.LN2, 1e-12);
  assertEquals(byDomain.get("b")!.interval, null);
  assertAlmostEquals(byDomain.get("b")!.value, -2 / Math.LN2, 1e-12);
  assertAlmostEquals(text!.value, 1 / 8 / Math.LN2, 1e-12);
});

Deno.test("what two models share cancels, and swapping them turns the sign", () => {
  const pair = fc.record({
    bytes: fc.integer({ min: 1, max: 1000 }),
    ...{
      one: fc.double({ min: 0, max: 1e4, noNaN: true }),
      shift: fc.integer({ min: -9, max: 9 }),
    },
  });
  fc.assert(fc.property(fc.array(pair, { minLength: 2, maxLength: 20 }), (pairs) => {
    const domains = documents({ a: pairs.map(({ bytes }) => bytes) });
    const nats = pairs.map(({ one }) => one);
    // Worse by as much per byte everywhere: no uncertainty is left.
    const shift = pairs[0]!.shift;
    const model = read(domains, pairs.map(({ one, bytes }) => one + shift * bytes));
    const difference = (of: Measured, from: Measured): Differences["text"] =>
      differencesOf(of, from).text;
    const forward = difference(model, read(domains, nats))!;
    assertAlmostEquals(forward.value, shift / Math.LN2, 1e-9);
    assert(forward.standardError! < 1e-9);
    const back = difference(read(domains, nats), model)!;
    assertAlmostEquals(back.value, -forward.value, 1e-12);
    const same = difference(model, model)!;
    assertEquals([same.value, same.standardError, same.interval], [0, 0, null]);
  }));
});

Deno.test("models measured on other items are refused", () => {
  const three = answered("piqa", [true, true, false]);
  assertThrows(
    () => differencesOf(three, answered("piqa", [true])),
    RangeError,
    "on piqa: one was measured on 3 items, the other on 1",
  );
  const boolq = answered("boolq", [true]);
  const both: Measured = { text: null, tasks: [...three.tasks, ...boolq.tasks] };
  for (const [one, other] of [[three, boolq], [three, both], [both, three]] as const) {
    assertThrows(() => differencesOf(one, other), RangeError, "the tasks of one are");
  }
  const domains = documents({ a: [5, 2] });
  const other = documents({ b: [5, 2] });
  assertThrows(
    () => differencesOf(read(domains, [1, 1]), read(other, [1, 1])),
    RangeError,
    "the domains of one are a, those of the other b",
  );
});
