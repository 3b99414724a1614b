/** HashRouter. @module */

import * as remoe from "@remoe/remoe";
import { demand, demandTensor, type Entry, f32 } from "../../entry.ts";
import { demandRows, demandSizes } from "../layers.ts";
import { demandContext, right, routed, SIZES, STATES } from "./shared.ts";

/** Entries of HashRouter. */
export const hashEntries: readonly Entry[] = [
  {
    of: "HashRouter.route",
    make: (w) => [
      new remoe.HashRouter(w.device, SIZES),
      w.f32([5, 4]),
      { tokens: w.i32([1, 2, 3, 4, 5]), sequence: 5 },
    ],
    call: (router, x, context) => routed(router.route(x, context)),
    right: (_, x, context) => {
      demandRows(x, SIZES.hidden, STATES);
      demand(x.shape[0] === 5, "tokens");
      demand(typeof context === "object" && context !== null, "no token ids");
      demandContext(context);
      const { tokens } = context as { tokens?: unknown };
      demandTensor(tokens, ["i32"]);
      const ids = [...tokens.data];
      const gates = ids.flatMap((id) => [0, 1, 2].map((e) => Number((id % 3 + 3) % 3 === e)));
      return right(f32([5, SIZES.experts], gates));
    },
    object: true,
  },
  {
    of: "new HashRouter",
    make: (w) => [w.device, { hidden: 4, experts: 3 }],
    call: (device, options) => {
      using router = new remoe.HashRouter(device, options);
      return [router.hidden, router.experts, router.active];
    },
    right: (device, options) => {
      demand(device instanceof remoe.Device, "no device");
      demandSizes(options, "hidden", "experts");
      return [options.hidden, options.experts, 1];
    },
  },
];
