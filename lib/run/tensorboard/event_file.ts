/**
 * A folder of event files: one for each time that the run was started or resumed.
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
   * Makes a new file, behind those that the folder holds.
   *
   * @param folder The folder; made where it is missing.
   * @param step The first step that will follow: readers drop it and later ones of earlier files.
   * @param now Milliseconds since 1970.
   * @throws {FileError} It cannot be made.
   */
  constructor(folder: string, step: number, now: () => number) {
    onPath("make", folder, () => Deno.mkdirSync(folder, { recursive: true }));
    this.#now = now;
    // Readers take the files by name: also where a clock went backwards, this one is the last.
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
   * Appends an event, handed to the system at once, so that a killed process loses none.
   *
   * @param step The step that it belongs to.
   * @param body What happened.
   * @throws {FileError} It cannot be written; a piece of it may be.
   */
  append(step: number, body: EventBody): void {
    this.#file.append(encodeRecord(encodeEvent(this.#now() / 1000, step, body)));
  }

  /** Waits until the events are on the disk. */
  flush(): void {
    this.#file.sync();
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}

/**
 * Cuts the events of later steps off, and records that a killed process left unfinished.
 *
 * @param folder The folder; a missing one is left missing.
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

/** Where the first record of a later step begins, or the last whole record ends. */
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
