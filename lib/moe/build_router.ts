/** Builders of the library's routers. @module */

import { DenseRouter } from "./dense_router.ts";
import { ReluRouter } from "./relu_router.ts";
import type { RouterBuild } from "./router_row.ts";
import type { RouterName, RouterSettings } from "./routers.ts";
import { TopKRouter } from "./topk_router.ts";

/** The builder of each router; a name without one is a compile error. */
export const BUILD_ROUTER: Readonly<Record<RouterName, RouterBuild<RouterSettings>>> = {
  dense: (device, place) => new DenseRouter(device, place),
  topk: (device, place, { balance_coefficient, z_coefficient, renormalize }) =>
    new TopKRouter(device, {
      ...place,
      balanceCoefficient: balance_coefficient,
      zCoefficient: z_coefficient,
      renormalize,
    }),
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
};
