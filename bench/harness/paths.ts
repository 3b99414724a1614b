/** Paths within the checkout. @module */

import { fileURLToPath } from "node:url";

/** The root of the checkout, with a trailing slash. */
export const ROOT: string = fileURLToPath(new URL("../../", import.meta.url));

/** The folder for results. */
export const RESULTS_FOLDER: string = `${ROOT}bench/results`;
