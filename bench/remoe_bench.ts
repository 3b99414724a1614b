/**
 * Times all of remoe, from single kernels to whole steps, on the shapes of the default model and of
 * the paper's: `deno task bench`, or `deno bench -A`. `bench/README.md` explains the columns.
 *
 * `deno bench` reports neither medians nor throughput, so each case keeps its own samples. A table
 * of them goes to standard error, since standard output belongs to `deno bench --json`.
 */

import { openDevice } from "../cli/shared/open_device.ts";
import { BuildError } from "../kernels/tools/build.ts";
import { ConfigError } from "../mod.ts";
import { allCases } from "./groups/mod.ts";
import {
  caseTable,
  type Destination,
  finishResults,
  makeResults,
  openDestination,
} from "./harness/report.ts";
import { readSelection, type Selection, usage } from "./harness/selection.ts";
import { Session } from "./harness/session.ts";

try {
  const selection = readSelection(Deno.args, Deno.env.get("REMOE_BENCH"));
  if (selection.help) console.error(usage());
  else await register(selection, openDestination(selection));
} catch (error) {
  if (error instanceof ConfigError) console.error(`${error.message}\n\n${usage()}`);
  else if (error instanceof BuildError) console.error(error.message);
  else throw error;
  Deno.exit(1);
}

async function register(selection: Selection, destination: Destination): Promise<void> {
  const device = await openDevice("auto");
  const session = new Session(device);
  const cases = allCases();
  const expected = cases.filter(({ full = false }) => selection.full || !full);
  for (const benchCase of cases) {
    if (selection.includes(benchCase)) session.register(benchCase);
  }
  addEventListener("unload", () => {
    const { load } = session;
    const peak = session.peak();
    const measured = session.results();
    if (measured.length > 0) {
      const info = device.info();
      const results = makeResults({ kind: "kernels", info, peak, load, cases: measured });
      const isPartial = measured.length < expected.length;
      console.error(`\n${caseTable(results)}\n\n${finishResults(results, destination, isPartial)}`);
    }
    device.close();
  });
}
