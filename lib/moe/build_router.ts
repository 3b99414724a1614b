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
  relu: (device, place, { balance, lambda0, alpha }) =>
    new ReluRouter(device, { ...place, balance, lambda: lambda0, alpha }),
};
