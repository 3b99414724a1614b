/** Answers `POST /v1/routing`: the experts of each token of a text. @module */

import { routePassage } from "../analyze/passage.ts";
import type { Device } from "../autograd/device.ts";
import type { OpenedModel } from "../model/open_model.ts";
import { routedExperts } from "../moe/layer_sizes.ts";
import { routerLabel, routerOf } from "../moe/router_of.ts";
import { ApiError, unknownField } from "./api_error.ts";
import { type RequestRules, requireLength, requireModel } from "./completion_request.ts";
import { readPromptField } from "./prompts.ts";
import { readJsonObject } from "./read_json.ts";

/** What a text is routed by. */
export interface RoutingMaker {
  /** The model's device. */
  readonly device: Device;
  /** The model. */
  readonly opened: OpenedModel;
  /** What requests are checked against. */
  readonly rules: RequestRules;
}

const FIELDS = ["model", "prompt", "user"];

/**
 * Answers a request for the experts of a text's tokens.
 *
 * @param request The request: a `prompt`, as a text or as token ids.
 * @param maker Routes it.
 * @returns Per layer and token, its experts with their gates; and each token's id and text.
 * @throws {ApiError} If the request cannot be used, or the model does not route.
 */
export async function answerRouting(
  request: Request,
  { device, opened, rules }: RoutingMaker,
): Promise<Response> {
  const body = await readJsonObject(request, rules.limits);
  for (const name of Object.keys(body)) {
    if (!FIELDS.includes(name)) throw unknownField(name, FIELDS);
  }
  requireModel(body.model, rules.model);
  const { config } = opened;
  if (!routerOf(config.moe).routed) {
    throw new ApiError(
      400,
      `The router ${routerLabel(config.moe.router)} sends every token to the one expert of a layer`,
      { code: "not_routed" },
    );
  }
  const { limits } = rules;
  const [tokens, ...others] = readPromptField(
    body.prompt,
    rules,
    (length, i) => requireLength(length, 0, i, limits),
  );
  if (others.length > 0) {
    throw new ApiError(400, "prompt is a list of prompts, expected one", { param: "prompt" });
  }
  // One row, as the text was generated; in training rows may be shorter.
  const data = { ...config.data, sequence: limits.context };
  const whole = { ...opened, config: { ...config, data } };
  const passage = routePassage(whole, device, "", Int32Array.from(tokens!));
  return Response.json({
    object: "routing",
    model: rules.model,
    experts: routedExperts(config.moe),
    tokens: passage.tokens,
    layers: passage.layers.map((row) =>
      row.map((experts) => experts.map(([expert, gate]) => [expert, Number(gate.toPrecision(4))]))
    ),
  });
}
