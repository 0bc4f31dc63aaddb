// model.json, which onnx-demucs web writes (onnx_demucs_compiler/web/site.py).

import { Problem } from "./problems.js";

export interface ModelFile {
  file: string;
  bytes: number;
  sha256: string;
}

export interface Description {
  model: string;
  stems: string[];
  sample_rate: number;
  channels: number;
  precision: string;
  graph: ModelFile;
  data: ModelFile | null;
}

export async function fetchDescription(): Promise<Description> {
  const response = await fetch("model.json").catch(() => {
    throw new Problem("The page cannot reach its server. Check the connection, and reload.");
  });
  const described: unknown = response.ok ? await response.json().catch(() => null) : null;
  if (!isDescription(described))
    throw new Problem(
      "The server has no model for this page: model.json is missing or damaged. Write the site again.",
    );
  return described;
}

export function sizeOf({ graph, data }: Description): number {
  return graph.bytes + (data?.bytes ?? 0);
}

function isDescription(value: unknown): value is Description {
  const found = value as Partial<Description> | null;
  return (
    Array.isArray(found?.stems) &&
    found.stems.length > 0 &&
    found.stems.every((stem) => typeof stem === "string") &&
    [found.sample_rate, found.channels].every((count) => typeof count === "number" && count > 0) &&
    typeof found.model === "string" &&
    isFile(found.graph) &&
    (found.data === null || isFile(found.data))
  );
}

function isFile(value: unknown): value is ModelFile {
  const found = value as Partial<ModelFile> | null | undefined;
  return (
    typeof found?.file === "string" && typeof found.sha256 === "string" && typeof found.bytes === "number"
  );
}
