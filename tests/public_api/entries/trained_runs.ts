/** Training runs, the models they produce, and the texts those generate. @module */

import { type Device, FeedForward, LanguageModel, write } from "@remoe/remoe";
import * as data from "@remoe/remoe/data";
import { generate, type GeneratedPiece } from "@remoe/remoe/generate";
import * as train from "@remoe/remoe/train";
import { demand, elements, type Entry } from "../entry.ts";
import {
  type Config,
  demandConfig,
  demandObject,
  parametersOf,
  tiny,
} from "../reference_config.ts";
import type { World } from "../world.ts";

/** A one-step configuration, with a text and a cache in the test's folder. */
function withText(world: World): train.TrainConfig {
  const folder = world.folder();
  Deno.writeTextFileSync(`${folder}/text.txt`, "The quick brown fox. ".repeat(20));
  return train.parseConfig(tiny({
    out: `${folder}/run`,
    data: { paths: [`${folder}/text.txt`], cache: `${folder}/cache` },
  }));
}

/** `config.json` records what was computed, so no other configuration is accepted. */
function demandOpenedWith(directory: train.RunDirectory, config: unknown, changed = {}): void {
  const folder = directory.path.slice(0, -"/run".length);
  const data = { paths: [`${folder}/text.txt`], cache: `${folder}/cache` };
  const opened = { ...train.parseConfig(tiny({ data })), ...changed };
  const flat = (value: object): string => JSON.stringify({ ...value, out: 0 });
  demand(flat(opened) === flat(config as object), "another configuration");
}

function demandOptions(options: unknown): asserts options is Record<string, unknown> {
  demandObject(options);
  demand(options.directory instanceof train.RunDirectory, "directory");
  const { checkpoint = null, signal = null, profile = null } = options;
  demand(checkpoint === null, "checkpoint");
  demand(signal === null || signal instanceof AbortSignal, "signal");
  demand(profile === null || profile instanceof train.StepProfile, "profile");
  for (const name of ["onStep", "onValidation", "onFlips", "onSample", "onNotice"]) {
    const event = options[name];
    demand(event === undefined || typeof event === "function", name);
  }
}

const training: Entry = {
  of: "train",
  make: (w) => {
    const config = withText(w);
    const directory = w.using(train.RunDirectory.create(config));
    const options = {
      device: w.device,
      directory,
      checkpoint: null,
      signal: new AbortController().signal,
      profile: null,
      ...{ onStep: () => {}, onValidation: () => {}, onFlips: () => {} },
      ...{ onSample: () => {}, onNotice: () => {} },
    };
    return [config, options];
  },
  call: async (config, options) => {
    const { checkpoint, ...summary } = await train.train(config, options);
    using saved = train.Checkpoint.open(checkpoint!);
    const numbers = [...saved.model.tensors.values()].map(({ shape }) => elements(shape));
    return { ...summary, hash: saved.state.config_hash, numbers: numbers.reduce((a, b) => a + b) };
  },
  right: (config, options) => {
    demandConfig(config);
    demandOptions(options);
    demandOpenedWith(options.directory as train.RunDirectory, config);
    const { steps, data } = config;
    const validates = config.validation.every > 0;
    return {
      step: steps,
      interrupted: false,
      tokens: steps * data.batch * data.sequence,
      last: { step: steps, tokens: steps * data.batch * data.sequence },
      ...(validates ? { validation: { step: steps } } : { validation: null }),
      sample: { step: steps, prompt: config.sample.prompt },
      hash: train.configHash(config as unknown as train.TrainConfig),
      numbers: parametersOf(config as unknown as Config),
    };
  },
  tries: 200,
};

const resuming: Entry = {
  of: "train",
  variant: "from a checkpoint",
  make: async (w) => {
    const config = withText(w);
    {
      using directory = train.RunDirectory.create(config);
      await train.train(config, { device: w.device, directory });
    }
    const more = { ...config, steps: 2 };
    const { directory, checkpoint } = train.RunDirectory.resume(
      train.findRun(`${w.folder()}/run`),
      more,
    );
    return [more, {
      device: w.device,
      directory: w.using(directory),
      checkpoint: w.using(checkpoint),
    }];
  },
  call: async (config, options) => {
    const { step, tokens, last } = await train.train(config, options);
    return [step, tokens, last?.step];
  },
  right: (config, options) => {
    demandConfig(config);
    demandObject(options);
    demand(options.directory instanceof train.RunDirectory, "directory");
    const { checkpoint = null } = options;
    demand(checkpoint === null || checkpoint instanceof train.Checkpoint, "checkpoint");
    const { steps, data } = config;
    demandOpenedWith(options.directory, config, { steps: 2 });
    const before = checkpoint === null ? 0 : 1;
    return [steps, steps * data.batch * data.sequence, steps > before ? steps : undefined];
  },
  tries: 60,
};

const opening: Entry = {
  of: "openModel",
  make: async (w) => {
    const config = withText(w);
    using directory = train.RunDirectory.create(config);
    await train.train(config, { device: w.device, directory });
    return [w.device, directory.path];
  },
  call: async (device, path) => {
    using opened = await train.openModel(device, path);
    using saved = train.Checkpoint.openNewest(`${path}/checkpoints`);
    const sizes = Array.from(opened.model.parameters(), ({ shape }) => elements(shape));
    const { tokenizer, config, step } = opened;
    const sum = sizes.reduce((a, b) => a + b);
    return [tokenizer.name, step, sum, saved.state.config_hash === train.configHash(config)];
  },
  right: (_, path) => {
    demand(typeof path === "string" && path.endsWith("/run"), "path");
    return ["byte", 1, parametersOf(tiny()), true];
  },
};

/** A model that continues anything with the letter h. */
function modelOfOneLetter(world: World, device: Device): LanguageModel {
  const model = world.using(
    new LanguageModel(device, {
      ...{ vocabulary: 257, layers: 1, hidden: 4, heads: 2 },
      feedForward: () => new FeedForward(device, { hidden: 4, width: 2 }),
    }),
  );
  for (const parameter of model.parameters()) {
    const { shape, name } = parameter;
    const values = new Array<number>(elements(shape)).fill(shape.join() === "257,4" ? 1 : 0);
    if (shape.length === 1) values.fill(1);
    if (shape.join() === "4,257") values.forEach((_, i) => values[i] = i % 257 === 104 ? 9 : 0);
    if (name === "") throw new Error("a parameter without a name");
    write(parameter, values);
  }
  return model;
}

function demandWhole(value: unknown, name: string, least: number, most: number): void {
  const isWhole = Number.isInteger(value) && value as number >= least && value as number <= most;
  demand(isWhole, name);
}

function demandTexts(value: unknown, name: string): asserts value is string[] {
  demand(Array.isArray(value), name);
  demand(Array.from(value).every((text) => typeof text === "string"), name);
}

const generating: Entry = {
  of: "generate",
  make: (w) => [
    ["A text", "", "naïve"],
    {
      device: w.device,
      model: modelOfOneLetter(w, w.device),
      tokenizer: new data.ByteTokenizer(),
      tokens: 3,
      stop: ["xyz"],
      ...{ seed: 7, stream: 1, temperature: 0, topK: 1, topP: 0.5 },
      signal: new AbortController().signal,
    },
  ],
  call: async (prompts, options) => {
    const texts: string[] = [];
    const ends: (string | null)[] = [];
    for await (
      const { prompt, text, finish } of generate(prompts, options) as AsyncIterable<
        GeneratedPiece
      >
    ) {
      texts[prompt] = (texts[prompt] ?? "") + text;
      ends[prompt] = finish;
    }
    return [texts, ends];
  },
  right: (prompts, options) => {
    demandTexts(prompts, "prompts");
    demand(prompts.length > 0, "prompts");
    demandObject(options);
    const { tokens, stop = [], seed = 0, stream = 0, temperature = 1, topK = 1, topP = 1 } =
      options;
    const { model, tokenizer, signal = null } = options;
    demand(model instanceof LanguageModel && tokenizer instanceof data.ByteTokenizer, "model");
    demand(signal === null || signal instanceof AbortSignal, "signal");
    demandTexts(stop, "stop");
    demand(!stop.includes(""), "stop");
    demandWhole(tokens, "tokens", 1, 2 ** 31 - 1);
    demandWhole(seed, "seed", 0, Number.MAX_SAFE_INTEGER);
    demandWhole(stream, "stream", 0, 2 ** 32 - 1);
    demandWhole(topK, "topK", 1, Infinity);
    demand(Number.isFinite(temperature) && temperature as number >= 0, "temperature");
    demand(typeof topP === "number" && topP > 0 && topP <= 1, "topP");
    const text = "h".repeat(tokens as number);
    return [prompts.map(() => text), prompts.map(() => "length")];
  },
};

/** Runs, models and texts. */
export const trainedRuns: readonly Entry[] = [training, resuming, opening, generating];
