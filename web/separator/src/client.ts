import { startWorker } from "./assets.js";
import { type ModelFiles, fetchModel } from "./download.js";
import { SeparatorError } from "./errors.js";
import type { ModelFacts } from "./metadata.js";
import { defaultThreads, isIos } from "./platform.js";
import type { FromWorker, Running, ToWorker } from "./protocol.js";
import type { Provider } from "./runtime.js";
import {
  type LoadOptions,
  type SeparateOptions,
  type Separator,
  checkMix,
  newStems,
  put,
} from "./separator.js";
import { Turns } from "./turns.js";

/**
 * A separator in a worker, so that the page stays alive and a run can be ended.
 *
 * An abort ends the worker, in the middle of a segment too, and gives its memory back; the next call of
 * `separate` starts another and loads the model again.
 */
export class WorkerSeparator implements Separator {
  #line: Line | undefined;
  #running: Running = { provider: "wasm", threads: 1, notes: [] };
  readonly #turns = new Turns();

  private constructor(
    private readonly source: string | ArrayBuffer,
    private readonly options: LoadOptions,
    readonly model: ModelFacts,
  ) {}

  static async load(model: string | ArrayBuffer, options: LoadOptions = {}): Promise<WorkerSeparator> {
    const files = await fetchModel(model, options);
    const separator = new WorkerSeparator(model, options, files.artifact.facts);
    await separator.#open(files, options.signal);
    return separator;
  }

  get provider(): Provider {
    return this.#running.provider;
  }

  get threads(): number {
    return this.#running.threads;
  }

  get notes(): string[] {
    return this.#running.notes;
  }

  async separate(
    mix: Float32Array[],
    options: SeparateOptions = {},
  ): Promise<Record<string, Float32Array[]>> {
    return this.#turns.take(async () => {
      const samples = checkMix(mix, this.model.channels);
      if (!this.#line) await this.#reopen(options.signal);
      return this.#separate(mix, samples, options);
    });
  }

  async release(): Promise<void> {
    this.#turns.released = true;
    this.#end(new SeparatorError("released", "this separator was released in the middle"));
  }

  async #separate(
    mix: Float32Array[],
    samples: number,
    options: SeparateOptions,
  ): Promise<Record<string, Float32Array[]>> {
    const whole = options.onBlock ? undefined : newStems(this.model, samples);
    const take = options.onBlock ?? ((block) => put(block, whole!));
    const given = options.transfer ? buffersOf(mix) : [];
    const answers = this.#ask({ type: "separate", mix, overlap: options.overlap }, options.signal, given);
    for await (const answer of answers) {
      if (answer.type !== "block") continue;
      const done = answer.start + answer.stems[0]![0]!.length;
      await take({ start: answer.start, stems: answer.stems });
      options.onProgress?.(done, samples);
      this.#line?.say({ type: "taken" });
    }
    return Object.fromEntries((whole ?? []).map((channels, i) => [this.model.stems[i]!, channels]));
  }

  async #reopen(signal: AbortSignal | undefined): Promise<void> {
    const { signal: _, ...options } = this.options;
    await this.#open(await fetchModel(this.source, { ...options, ...(signal ? { signal } : {}) }), signal);
  }

  async #open(files: ModelFiles, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#turns.released)
      throw new SeparatorError("released", "this separator was released in the middle");
    this.#line = new Line();
    const { provider = "auto", threads = defaultThreads(), wasmPaths } = this.options;
    const folder =
      wasmPaths === undefined ? {} : { wasmPaths: new URL(wasmPaths, globalThis.location?.href).href };
    const own = [this.source, this.options.data];
    const transfer = [files.graph, files.data?.data].flatMap((bytes) =>
      bytes && !own.includes(bytes.buffer as ArrayBuffer) ? [bytes.buffer as ArrayBuffer] : [],
    );
    const options = { provider, threads, ios: isIos(), ...folder };
    try {
      for await (const _ of this.#ask({ type: "open", files, options }, signal, transfer));
    } catch (error) {
      this.#end(error);
      throw error;
    }
  }

  /** What the worker answers, to the last; an abort, or an error that is not its answer, ends the worker. */
  async *#ask(
    message: ToWorker,
    signal: AbortSignal | undefined,
    transfer: Transferable[] = [],
  ): AsyncGenerator<FromWorker> {
    const line = this.#line!;
    const abort = () => this.#end(signal!.reason);
    signal?.throwIfAborted();
    signal?.addEventListener("abort", abort);
    let finished = false;
    try {
      line.say(message, transfer);
      while (!finished) {
        const answer = await line.hear();
        finished = answer.type !== "block";
        if (answer.type === "failed") throw new SeparatorError(answer.code, answer.message);
        this.#running = answer.running;
        yield answer;
      }
    } finally {
      signal?.removeEventListener("abort", abort);
      if (!finished) this.#end(new SeparatorError("worker", "the worker was ended"));
    }
  }

  #end(reason: unknown): void {
    this.#line?.end(reason);
    this.#line = undefined;
  }
}

/** Each buffer once; shared ones cannot be transferred, and need not be. */
function buffersOf(mix: readonly Float32Array[]): ArrayBuffer[] {
  return [...new Set(mix.map(({ buffer }) => buffer))].filter((buffer) => buffer instanceof ArrayBuffer);
}

/** A worker, and what it said that was not heard yet. */
class Line {
  readonly #worker = startWorker();
  readonly #said: FromWorker[] = [];
  #waiting: { resolve: (message: FromWorker) => void; reject: (reason: unknown) => void } | undefined;
  #ended: { reason: unknown } | undefined;

  constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if (this.#waiting) this.#waiting.resolve(data);
      else this.#said.push(data);
      this.#waiting = undefined;
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.end(new SeparatorError("worker", `the worker failed (${event.message || "it cannot be loaded"})`));
    };
  }

  say(message: ToWorker, transfer: Transferable[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  hear(): Promise<FromWorker> {
    if (this.#ended) return Promise.reject(this.#ended.reason);
    const message = this.#said.shift();
    if (message) return Promise.resolve(message);
    return new Promise((resolve, reject) => (this.#waiting = { resolve, reject }));
  }

  end(reason: unknown): void {
    this.#worker.terminate();
    this.#ended ??= { reason };
    this.#waiting?.reject(reason);
    this.#waiting = undefined;
  }
}
