// What a page and its worker say to each other.

import type { ModelFiles } from "./download.js";
import type { OpenOptions, Separator } from "./separator.js";

/** What runs a model, as a worker tells it. */
export type Running = Pick<Separator, "provider" | "threads" | "notes">;

export type ToWorker =
  | { type: "open"; files: ModelFiles; options: OpenOptions }
  | { type: "separate"; mix: Float32Array[]; overlap: number | undefined }
  | { type: "taken" };

export type FromWorker =
  | { type: "opened"; running: Running }
  | { type: "block"; start: number; stems: Float32Array[][]; running: Running }
  | { type: "done"; running: Running }
  | { type: "failed"; code: string; message: string };
