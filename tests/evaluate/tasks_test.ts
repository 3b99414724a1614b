/** Prompts of the tasks, and rows that do not fit. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { DataError } from "../../lib/data/errors.ts";
import { ConfigError } from "../../lib/errors.ts";
import { readItems, taskFile } from "../../lib/evaluate/read_items.ts";
import { pythonLiteral } from "../../lib/evaluate/tasks/python_literal.ts";
import { TASK_NAMES, type TaskName, taskNames } from "../../lib/evaluate/tasks/tasks.ts";
import { TemporaryFolder } from "../temporary_folder.ts";
import { EXAMPLES, itemOf } from "./items.ts";

Deno.test("rows become the texts that lm-evaluation-harness scores", () => {
  for (const { name, fields, item } of EXAMPLES) assertEquals(itemOf(name, fields), item, name);
  assertEquals([...new Set(EXAMPLES.map(({ name }) => name))].sort(), [...TASK_NAMES].sort());
});

/** The fields of a task's first example, with some of them changed. */
function changed(name: TaskName, fields: Record<string, unknown>): Record<string, unknown> {
  return { ...EXAMPLES.find((example) => example.name === name)!.fields, ...fields };
}

Deno.test("a row that does not fit is refused by line and field", () => {
  const problem = { question: "Q", options: ["a", "b", "c", "d"], answer: "E" };
  const cases: readonly (readonly [TaskName, Record<string, unknown>, string])[] = [
    ["arc_easy", { question: 5 }, "field question is 5, expected a text"],
    ["arc_easy", { answerKey: "Z" }, "answerKey is Z, expected one of the labels 1, 2, 3"],
    ["arc_easy", { choices: [] }, "field choices is [], expected an object"],
    ["arc_easy", { choices: { text: ["a"], label: ["A"] } }, "choices.text is "],
    ["arc_easy", { choices: { label: ["A", "B"] } }, "field choices.text is missing"],
    ["boolq", { label: 2 }, "field label is 2, expected the index of a choice, 0 to 1"],
    ["boolq", { label: true }, "field label is true"],
    ["boolq", { passage: "\ud800" }, "field passage is not well-formed"],
    ["hellaswag", { endings: ["a", 1] }, "field endings[1] is 1, expected a text"],
    ["hellaswag", { label: "-1" }, "field label is"],
    ["lambada_openai", { text: null }, "field text is null"],
    ["piqa", { sol2: undefined }, "field sol2 is undefined"],
    ["race", { problems: [] }, "field problems is [], expected a list of objects"],
    ["race", { problems: "[{'question':" }, "not a list of Python's"],
    ["race", { problems: "'text'" }, "expected a list of objects"],
    ["race", { problems: [problem] }, "its answer is E, expected A, B, C or D"],
    ["race", { problems: [{ ...problem, options: ["a"] }] }, "problems[0].options is"],
  ];
  for (const [name, fields, words] of cases) {
    const error = assertThrows(() => itemOf(name, changed(name, fields)), DataError, words);
    assert(error.message.startsWith("Cannot use line 3 of FILE: "), error.message);
  }
  assertThrows(() => itemOf("piqa", {}), DataError, "field sol1 is missing; it has none");
});

Deno.test("literals of Python are parsed, anything else is not", () => {
  assertEquals(pythonLiteral(`[{'a': "it's", "b": [1, -2, None, True, False,]}, {}, [] ]`), [
    { a: "it's", b: [1, -2, null, true, false] },
    {},
    [],
  ]);
  assertEquals(
    pythonLiteral(String.raw`'\'\"\\\n\t\x41\u00e9\U0001f600'`),
    "'\"\\\n\tA\u00e9\u{1f600}",
  );
  for (const text of ["", "[", "[1", "{'a'}", "{1: 2}", "'a", "'a\nb'", "f()", "[1] 2", "'\\q'"]) {
    assertEquals(pythonLiteral(text), undefined, text);
  }
});

Deno.test("tasks are looked up by name", () => {
  assertEquals(taskNames(["piqa", "race", "piqa"]), ["piqa", "race"]);
  assertEquals(taskNames(["all"]), [...TASK_NAMES]);
  assertThrows(
    () => taskNames(["hellaswags"]),
    ConfigError,
    'no task "hellaswags", did you mean hellaswag? The tasks',
  );
  assertThrows(
    () => taskNames(["mmlu"]),
    ConfigError,
    'no task "mmlu"; the tasks are arc_challenge, arc_easy',
  );
  assertThrows(() => taskNames(["toString"]), ConfigError, "There is no task");
});

Deno.test("items are read from a folder, compressed or not, up to a limit", async () => {
  using folder = new TemporaryFolder();
  const { fields } = EXAMPLES.find(({ name }) => name === "piqa")!;
  const text = `${JSON.stringify(fields)}\n`.repeat(3) + "\n";
  const bytes = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
  await Deno.writeFile(`${folder.path}/piqa.jsonl.gz`, bytes);
  assertEquals(taskFile(folder.path, "piqa"), `${folder.path}/piqa.jsonl.gz`);
  const { items, total } = await readItems(folder.path, "piqa", 2);
  assertEquals([items.length, total], [2, 3]);
  const written: [string, string][] = [
    [`${JSON.stringify(fields)}\n{"goal": `, "Cannot read line 2 of"],
    [`${JSON.stringify(fields)}\n[1]\n`, "it is not an object"],
    [`${JSON.stringify(fields)}\n{"goal": "x"}`, "Cannot use line 2 of"],
    ["\n\n", "none of its lines holds an item"],
  ];
  for (const [contents, words] of written) {
    Deno.writeTextFileSync(`${folder.path}/piqa.jsonl`, contents);
    // The limit is below the bad line: a file that is damaged is not trusted at all.
    await assertRejects(() => readItems(folder.path, "piqa", 1), DataError, words);
  }
  assertThrows(() => taskFile(folder.path, "race"), DataError, "holds none of race.jsonl, race");
  assertThrows(() => taskFile(`${folder.path}/no`, "race"), DataError, "there is no folder");
});
