/** Builders of the library's routers. @module */

import { DenseRouter } from "./dense_router.ts";
import { LoryRouter } from "./lory_router.ts";
import type { ExpertSizes } from "./layer_sizes.ts";
import { ExpertChoiceRouter } from "./expert_choice_router.ts";
import { HashRouter } from "./hash_router.ts";
import { ReluRouter } from "./relu_router.ts";
import type { RouterBuild } from "./router_row.ts";
import { topkWarmup } from "./router_rows/topk_warmup.ts";
import type { RouterName, RouterSettings } from "./routers.ts";
import { SigmoidRouter } from "./sigmoid_router.ts";
import { SparseMixerRouter } from "./sparsemixer_router.ts";
import { TopKRouter } from "./topk_router.ts";

/** The builder of each router; a name without one is a compile error. */
export const BUILD_ROUTER: Readonly<
  Record<RouterName, RouterBuild<RouterSettings & ExpertSizes>>
> = {
  dense: (device, place) => new DenseRouter(device, place),
  topk: (device, place, { balance_coefficient, z_coefficient, renormalize, ...moe }) => {
    const warmup = topkWarmup(moe);
    return new TopKRouter(device, {
      ...place,
      balanceCoefficient: balance_coefficient,
      zCoefficient: z_coefficient,
      renormalize,
      gateScale: moe.gate_scale,
      ...(warmup === null ? {} : { warmup }),
    });
  },
  relu: (device, place, { lambda0, lambda_rule, lambda_limit, alpha, ...moe }) =>
    new ReluRouter(device, {
      ...place,
      balance: moe.balance,
      activation: moe.activation,
      revive: moe.revive,
      lambda: lambda0,
      alpha: lambda_rule === "proportional" ? lambda_limit : alpha,
      rule: lambda_rule,
      gain: moe.lambda_gain,
      damping: moe.lambda_damping,
    }),
  lory: (device, place) => new LoryRouter(device, place),
  sigmoid: (device, place, { normalize, bias_rate, gate_scale }) =>
    new SigmoidRouter(device, {
      ...place,
      normalize: normalize === "auto" && place.active > 1,
      biasRate: bias_rate,
      gateScale: gate_scale,
    }),
  hash: (device, place) => new HashRouter(device, place),
  "expert-choice": (device, place, { capacity, group }) =>
    new ExpertChoiceRouter(device, { ...place, capacity, group }),
  sparsemixer: (device, place, { balance_coefficient, jitter }) =>
    new SparseMixerRouter(device, { ...place, balanceCoefficient: balance_coefficient, jitter }),
};
