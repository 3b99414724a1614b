/** The times of the last log of a GPU, to hold counts to. @module */

/** A row of a log's times. */
export interface Measured {
  /** The log, `2026-11-27-1922.md`. */
  readonly log: string;
  /** Milliseconds. */
  readonly milliseconds: number;
  /** Of the speed of a large copy, if memory bounds the call. */
  readonly ofCopy?: number;
  /** Of the rate of a large product, if products do. */
  readonly ofProduct?: number;
}

/**
 * Reads the times of all logs; those of later logs take the place of earlier ones.
 *
 * @param folder The logs.
 * @returns Rows by their name.
 */
export async function readTimes(folder: string): Promise<ReadonlyMap<string, Measured>> {
  const logs: string[] = [];
  for await (const { name } of Deno.readDir(folder)) {
    if (/^\d{4}-\d\d-\d\d-\d{4}\.md$/.test(name)) logs.push(name);
  }
  const times = new Map<string, Measured>();
  for (const log of logs.sort()) {
    for (const line of (await Deno.readTextFile(`${folder}/${log}`)).split("\n")) {
      const row = parseRow(line, log);
      if (row !== undefined) times.set(...row);
    }
  }
  return times;
}

/** A line like `| rope on q and k | 0.027 |  | 2515, 0.60 |  |  |`. */
function parseRow(line: string, log: string): [string, Measured] | undefined {
  const cells = line.split("|").slice(1, -1).map((cell) => cell.trim());
  if (cells.length !== 6 || !/^\d+\.\d+$/.test(cells[1]!)) return undefined;
  const share = (cell: string) => Number(cell.split(",")[1]);
  return [cells[0]!, {
    log,
    milliseconds: Number(cells[1]),
    ...cells[2] === "" ? {} : { ofProduct: share(cells[2]!) },
    ...cells[3] === "" ? {} : { ofCopy: share(cells[3]!) },
  }];
}
