/** DenseRouter. @module */

import * as remoe from "@remoe/remoe";
import { demand, elements, type Entry, f32 } from "../../entry.ts";
import { demandRows, demandSizes } from "../layers.ts";
import { right, routed, SIZES, STATES } from "./shared.ts";

/** Entries of DenseRouter. */
export const denseEntries: readonly Entry[] = [
  {
    of: "DenseRouter.route",
    make: (w) => [new remoe.DenseRouter(w.device, SIZES), w.f32([5, 4])],
    call: (router, x) => routed(router.route(x)),
    right: (_, x) => {
      demandRows(x, SIZES.hidden, STATES);
      const shape = [x.shape[0]!, SIZES.experts];
      return right(f32(shape, Array(elements(shape)).fill(1)));
    },
    object: true,
  },
  {
    of: "new DenseRouter",
    make: (w) => [w.device, { hidden: 4, experts: 3 }],
    call: (device, options) => {
      using router = new remoe.DenseRouter(device, options);
      return [router.hidden, router.experts, router.active];
    },
    right: (device, options) => {
      demand(device instanceof remoe.Device, "no device");
      demandSizes(options, "hidden", "experts");
      return [options.hidden, options.experts, options.experts];
    },
  },
];
