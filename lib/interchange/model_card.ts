/** The README of an exported model: what it is, how it was trained, how to use it. @module */

import { basename } from "node:path";
import type { TrainConfig } from "../config/config.ts";
import { exists } from "../files.ts";
import { countParameters } from "../model/parameter_count.ts";
import { routedSizes } from "../moe/layer_sizes.ts";
import { routerLabel, routerOf } from "../moe/router_of.ts";
import { METRICS } from "../run/find_run.ts";
import { readMetrics } from "../run/metrics.ts";
import { isFlips, isValidation } from "../run/metrics_line.ts";
import { versions } from "../run/versions.ts";
import type { ExportForm } from "./export_form.ts";
import { FAMILIES } from "./families.ts";

/** What a card tells of. */
export interface CardSubject {
  /** The run directory. */
  readonly path: string;
  readonly config: TrainConfig;
  readonly form: ExportForm;
  /** Steps taken at the checkpoint. */
  readonly step: number;
  /** Tokens seen. */
  readonly tokens: number;
}

/**
 * Writes a model card.
 *
 * @param subject The run and its form.
 * @returns Markdown.
 */
export function modelCard(subject: CardSubject): string {
  const { config, form } = subject;
  const needsTrust = Object.keys(form.files).length > 0;
  const trust = needsTrust ? ", trust_remote_code=True" : "";
  const warning = needsTrust
    ? "\nThe Python file beside this card computes the routing. Without `trust_remote_code=True` the\n" +
      "model does not run: Mixtral's own router would compute something else.\n"
    : "";
  return `---
library_name: transformers
tags: [mixture-of-experts, remoe]
---

# ${title(config)}

Trained with remoe ${versions()["remoe"]}. ${form.reason}

| | |
| --- | --- |
${rows(subject).map(([name, value]) => `| ${name} | ${value} |`).join("\n")}

\`\`\`python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("FOLDER"${trust})
tokenizer = AutoTokenizer.from_pretrained("FOLDER")
inputs = tokenizer(tokenizer.bos_token + "Once", return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=50)[0]))
\`\`\`
${warning}
Documents began with the token \`bos_token\`, which the tokenizer does not add by itself. The same in
remoe, from the run:

\`\`\`sh
deno task generate --run RUN --prompt "Once"
\`\`\`

The training configuration:

\`\`\`json
${JSON.stringify(shownConfig(config), null, 2)}
\`\`\`
`;
}

function title({ model, moe }: TrainConfig): string {
  const { total } = countParameters(model, moe);
  const kind = routerOf(moe).routed
    ? `MoE with the router ${routerLabel(moe.router)}`
    : "Dense model";
  return `${kind}, ${count(total)} parameters`;
}

function rows({ path, config, form, step, tokens }: CardSubject): [string, string][] {
  const { model, moe, data } = config;
  const parameters = countParameters(model, moe);
  const { experts, active } = routedSizes(moe);
  const metrics = exists(`${path}/${METRICS}`) ? readMetrics(`${path}/${METRICS}`) : [];
  const reached = metrics.filter((line) => line.step <= step);
  const last = reached.findLast((line) => !isValidation(line) && !isFlips(line));
  const valid = reached.findLast(isValidation);
  return [
    ["Form in transformers", FAMILIES[form.type].name],
    ["Parameters", `${count(parameters.total)}, ${count(parameters.active)} active per token`],
    [
      "Sizes",
      `${model.layers} layers, hidden ${model.hidden}, ${model.heads} heads in ${model.groups} groups, ` +
      `FFN ${model.ffn}, vocabulary ${model.vocabulary}`,
    ],
    ...(routerOf(moe).routed
      ? [
        [
          "Experts",
          `${experts} of width ${model.ffn / moe.granularity}, ${active} per token` +
          (routerOf(moe).adapts(moe) ? " on average" : "") +
          (moe.shared > 0 ? `, ${moe.shared} shared` : ""),
        ] satisfies [string, string],
      ]
      : []),
    ["Text", textOf(config)],
    ["Tokenizer", data.tokenizer],
    ["Steps", `${step}, ${count(tokens)} tokens in sequences of ${data.sequence}`],
    ...(last !== undefined && "loss" in last
      ? [
        ["Training loss", `${last.loss.toFixed(4)} nats per token`] satisfies [string, string],
        ["Sparsity", `${(100 * last.sparsity).toFixed(2)} %`] satisfies [string, string],
      ]
      : []),
    ...(valid === undefined ? [] : [
      [
        "Validation loss",
        `${valid.valid_loss.toFixed(4)} nats per token, ` +
        `${valid.valid_bits_per_byte.toFixed(4)} bits per byte`,
      ] satisfies [string, string],
    ]),
  ];
}

/** The domains of the text by name: paths say where it lay, which is nobody else's business. */
function textOf({ data }: TrainConfig): string {
  if (data.paths.length === 0) return "the text bundled with remoe";
  const names = data.paths.map((path) =>
    /^([^/=]+)=/.exec(path)?.[1] ?? path.replace(/\/+$/, "").split("/").at(-1)!
  );
  return [...new Set(names)].join(", ");
}

/** The configuration without what only concerns the machine it ran on. */
function shownConfig(config: TrainConfig): object {
  const { out: _out, device: _device, threads: _threads, memory: _memory, log: _log, ...rest } =
    config;
  const {
    paths: _paths,
    validation_paths: _validation,
    cache: _cache,
    tokenizer_file: _file,
    ...data
  } = config.data;
  const { init } = config;
  const from = init.from === null ? null : basename(init.from);
  return { ...rest, init: { ...init, from }, data };
}

function count(value: number): string {
  const [unit, size] = value >= 1e9
    ? ["B", 1e9]
    : value >= 1e6
    ? ["M", 1e6]
    : value >= 1e3
    ? ["k", 1e3]
    : ["", 1];
  return `${Number((value / size).toPrecision(3))}${unit}`;
}
