/** Where the checkout is. @module */

import { fileURLToPath } from "node:url";

/** The root of the checkout, with a slash at its end. */
export const ROOT: string = fileURLToPath(new URL("../../", import.meta.url));

/** Where results go. */
export const RESULTS_FOLDER: string = `${ROOT}bench/results`;
