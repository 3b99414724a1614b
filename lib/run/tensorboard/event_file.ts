/**
 * A folder of event files, one for each time the run was started or resumed.
 *
 * @module
 */

import { largest } from "../../extremes.ts";
import { exists, onPath, OpenFile } from "../../files.ts";
import {
  encodeEvent,
  type EventBody,
  fileVersion,
  sessionStart,
  STEP_END,
  stepOf,
} from "./event.ts";
import { encodeRecord, recordsOf } from "./record.ts";

const NAME = /^events\.out\.tfevents\.(\d+)\./;

/** An open event file, to which events are appended. */
export class EventFile implements Disposable {
  /** The file. */
  readonly path: string;
  readonly #file: OpenFile;
  readonly #now: () => number;

  /**
   * Creates a file that sorts after those in the folder.
   *
   * @param folder The folder; created if missing.
   * @param step The first step to follow: readers drop it and later ones from earlier files.
   * @param now Milliseconds since 1970.
   * @throws {FileError} It cannot be created.
   */
  constructor(folder: string, step: number, now: () => number) {
    onPath("make", folder, () => Deno.mkdirSync(folder, { recursive: true }));
    this.#now = now;
    // Readers order the files by name: this one must be the last even if the clock went backwards.
    const last = Math.max(
      0,
      largest(eventFiles(folder).map((name) => Number(NAME.exec(name)![1]))),
    );
    const seconds = Math.max(Math.floor(now() / 1000), last + 1);
    this.path = `${folder}/events.out.tfevents.${String(seconds).padStart(10, "0")}.remoe`;
    this.#file = new OpenFile("write", this.path, { write: true, createNew: true });
    this.append(0, fileVersion());
    this.append(step, sessionStart());
  }

  /**
   * Appends an event and hands it to the system at once, so a killed process loses none.
   *
   * @param step The step it belongs to.
   * @param body The rest of the event.
   * @throws {FileError} It cannot be written, or only in part.
   */
  append(step: number, body: EventBody): void {
    this.#file.append(encodeRecord(encodeEvent(this.#now() / 1000, step, body)));
  }

  /** Waits until the events are on disk. */
  flush(): void {
    this.#file.sync();
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}

/**
 * Cuts off the events of later steps, and records that a killed process left unfinished.
 *
 * @param folder The folder; may be missing.
 * @param step The last step to keep.
 * @throws {FileError} A file cannot be read or written.
 */
export function truncateEvents(folder: string, step: number): void {
  for (const name of eventFiles(folder)) {
    const path = `${folder}/${name}`;
    onPath("write", path, () => {
      using file = Deno.openSync(path, { read: true, write: true });
      file.truncateSync(endOfSteps(file, step));
    });
  }
}

/** The offset where the first record of a later step begins, or else the last complete one ends. */
function endOfSteps(file: Deno.FsFile, step: number): number {
  let end = 0;
  for (const { offset, beginning, next } of recordsOf(file, STEP_END)) {
    if (stepOf(beginning) > step) return offset;
    end = next;
  }
  return end;
}

function eventFiles(folder: string): string[] {
  if (!exists(folder)) return [];
  return onPath("read", folder, () => Array.from(Deno.readDirSync(folder), ({ name }) => name))
    .filter((name) => NAME.test(name))
    .sort();
}
