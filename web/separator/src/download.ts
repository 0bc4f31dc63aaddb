import { SeparatorError, inOneLine } from "./errors.js";
import { type Artifact, artifactOf } from "./metadata.js";
import { readGraph } from "./onnx.js";

/** Where a model comes from. */
export interface SourceOptions {
  /** The weights file beside the graph; `${url}.data` unless told, where the graph refers to one. */
  data?: string | ArrayBuffer;
  /** Checksums in hexadecimal, compared before a session is made. */
  sha256?: { graph?: string; data?: string };
  /** Told the bytes received of both files, and how many they have as far as that is known yet. */
  onDownload?: (received: number, total: number) => void;
  /** Files are looked for here first, and put here once they are checked. */
  cache?: Cache;
  /** Stops the download, or what comes after it. */
  signal?: AbortSignal;
}

/** A model as it lies in memory, its weights under the name that its graph knows them by. */
export interface ModelFiles {
  graph: Uint8Array;
  data: { path: string; data: Uint8Array } | undefined;
  artifact: Artifact;
  notes: string[];
}

/** Fetches a model, checks it, and reads what it says of itself. */
export async function fetchModel(
  model: string | ArrayBuffer,
  options: SourceOptions = {},
): Promise<ModelFiles> {
  const files = new Files(options);
  const { bytes: graph, sha256 } = await files.get(model, "the graph", options.sha256?.graph);
  refusePages(graph);
  const { props, locations } = readGraph(graph);
  const artifact = artifactOf(props, sha256);
  const [location, ...others] = locations;
  if (others.length > 0)
    throw new SeparatorError(
      "model",
      "the model's weights are in several files; compile it with --target web",
    );
  if (location === undefined) return { graph, data: undefined, artifact, notes: files.notes };
  const source =
    options.data ?? (typeof model === "string" ? model.replace(/(?=[?#]|$)/, ".data") : undefined);
  if (source === undefined)
    throw new SeparatorError("data", `the model's weights are in ${location}; give that file as data`);
  const { bytes } = await files.get(source, "the weights", options.sha256?.data);
  return { graph, data: { path: location, data: bytes }, artifact, notes: files.notes };
}

function refusePages(graph: Uint8Array): void {
  if (/^\s*<(!doctype|html)/i.test(new TextDecoder().decode(graph.subarray(0, 100))))
    throw new SeparatorError("model", "the model's address gives a web page and no ONNX file");
}

interface Checked {
  bytes: Uint8Array;
  sha256: string;
}

class Files {
  readonly notes: string[] = [];
  readonly #progress = { received: 0, total: 0 };

  constructor(private readonly options: SourceOptions) {}

  /** A file's bytes and checksum; what was cached with another checksum is fetched again. */
  async get(source: string | ArrayBuffer, what: string, wanted?: string): Promise<Checked> {
    const { cache, signal } = this.options;
    signal?.throwIfAborted();
    const kept = typeof source === "string" ? await this.#kept(source, wanted) : undefined;
    if (kept) return kept;
    const bytes = typeof source === "string" ? await this.#download(source) : new Uint8Array(source);
    const sha256 = await sha256Of(bytes);
    if (wanted !== undefined && sha256 === "")
      throw new SeparatorError("insecure", "checksums need a secure page (https or localhost)");
    if (!agrees(sha256, wanted))
      throw new SeparatorError(
        "checksum",
        `${what} has another sha256 than expected: it is damaged, or another file`,
      );
    if (cache && typeof source === "string") await this.#keep(cache, source, bytes);
    signal?.throwIfAborted();
    return { bytes, sha256 };
  }

  async #kept(url: string, wanted: string | undefined): Promise<Checked | undefined> {
    try {
      const response = await this.options.cache?.match(url);
      if (!response) return undefined;
      const bytes = new Uint8Array(await response.arrayBuffer());
      const sha256 = await sha256Of(bytes);
      if (!agrees(sha256, wanted)) return undefined;
      this.#tell(bytes.length, bytes.length);
      return { bytes, sha256 };
    } catch {
      return undefined; // A cache that cannot be read is none.
    }
  }

  async #keep(cache: Cache, url: string, bytes: Uint8Array): Promise<void> {
    try {
      await cache.put(url, new Response(bytes as BodyInit));
    } catch (error) {
      this.notes.push(`not kept for next time: ${inOneLine(error)}`);
    }
  }

  async #download(url: string): Promise<Uint8Array> {
    const { signal } = this.options;
    try {
      const response = await fetch(url, signal ? { signal } : {});
      if (!response.ok)
        throw new SeparatorError("download", `${url}: the server answered ${response.status}`);
      return await this.#received(response);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof SeparatorError) throw error;
      throw new SeparatorError("download", `${url} cannot be fetched (${inOneLine(error)})`);
    }
  }

  async #received(response: Response): Promise<Uint8Array> {
    const packed = response.headers.has("content-encoding");
    const size = packed ? 0 : Number(response.headers.get("content-length") ?? 0);
    this.#tell(0, size);
    let [bytes, length] = [new Uint8Array(size), 0];
    const reader = response.body?.getReader();
    for (let part = await reader?.read(); part?.value; part = await reader?.read()) {
      if (length + part.value.length > bytes.length) bytes = enlarged(bytes, length + part.value.length);
      bytes.set(part.value, length);
      length += part.value.length;
      this.#tell(part.value.length, 0);
    }
    return length === bytes.length ? bytes : bytes.slice(0, length);
  }

  #tell(received: number, total: number): void {
    this.#progress.received += received;
    this.#progress.total = Math.max(this.#progress.total + total, this.#progress.received);
    this.options.onDownload?.(this.#progress.received, this.#progress.total);
  }
}

function enlarged(bytes: Uint8Array, least: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(Math.max(least, 2 * bytes.length));
  larger.set(bytes);
  return larger;
}

function agrees(sha256: string, wanted: string | undefined): boolean {
  return wanted === undefined || sha256 === wanted.toLowerCase();
}

/** In hexadecimal; empty on a page that is not secure. */
async function sha256Of(bytes: Uint8Array): Promise<string> {
  if (!globalThis.crypto?.subtle) return "";
  const digest = await crypto.subtle.digest("SHA-256", bytes as BufferSource);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
