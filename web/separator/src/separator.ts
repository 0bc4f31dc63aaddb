import { type ChosenRunner, choose } from "./choice.js";
import { type ModelFiles, type SourceOptions, fetchModel } from "./download.js";
import { SeparatorError } from "./errors.js";
import type { Artifact, ModelFacts } from "./metadata.js";
import { defaultThreads, isIos, mayHaveThreads } from "./platform.js";
import type { Provider } from "./runtime.js";
import { DEFAULT_OVERLAP, OverlapAdd, plan, strideOf } from "./segments.js";
import { TrackStatistics } from "./statistics.js";
import { Turns } from "./turns.js";

/** Where a model comes from, and what runs it. */
export interface LoadOptions extends SourceOptions {
  /** The folder of onnxruntime-web's wasm; that of this package unless told. The first load decides. */
  wasmPaths?: string;
  /** Of WebAssembly; the cores less one, at most 8, unless told. The first load decides. */
  threads?: number;
  /** WebGPU is used where it is there and agrees with WebAssembly (`auto` and `webgpu`), or not at all. */
  provider?: "auto" | Provider;
}

/** Samples of the stems that no later segment changes: `[stem][channel]`, from `start`. */
export interface Block {
  start: number;
  stems: Float32Array[][];
}

export interface SeparateOptions {
  /** The part of each segment that the next covers too, from 0 to below 1; 0.25 unless told. */
  overlap?: number;
  /** Told the samples per channel that are done, and how many there are, after each segment. */
  onProgress?: (done: number, total: number) => void;
  /** Given the stems as they settle, in order, in place of a result; it is waited for. */
  onBlock?: (block: Block) => void | Promise<void>;
  /** Stops between two segments; the promise is rejected with its reason. */
  signal?: AbortSignal;
  /** Lets a `WorkerSeparator` take the mix, which is empty afterwards, in place of a copy; no unless told. */
  transfer?: boolean;
}

/** A loaded model. */
export interface Separator {
  readonly model: ModelFacts;
  /** What runs it; changes from `webgpu` to `wasm` where the GPU fails in the middle. */
  readonly provider: Provider;
  readonly threads: number;
  /** What a person should know, a line each: why WebGPU is not used, why nothing is cached. */
  readonly notes: string[];
  /**
   * Separates a mix at the model's sample rate and with its channels, one mix at a time.
   *
   * The stems by name are those of `onnx-demucs separate`; with `onBlock` they are given there, and the result
   * is empty.
   */
  separate(mix: Float32Array[], options?: SeparateOptions): Promise<Record<string, Float32Array[]>>;
  release(): Promise<void>;
}

/** Loads a model in this thread, which is at work for seconds at a time: a worker, or Node. */
export async function load(model: string | ArrayBuffer, options: LoadOptions = {}): Promise<Separator> {
  const files = await fetchModel(model, options);
  const separator = await open(files, options);
  if (options.signal?.aborted) await separator.release();
  options.signal?.throwIfAborted();
  return separator;
}

/** What runs a model; a worker cannot tell for itself that it is on an iPad. */
export interface OpenOptions extends Pick<LoadOptions, "threads" | "wasmPaths" | "provider"> {
  ios?: boolean;
}

/** A separator of files that are fetched. */
export async function open(files: ModelFiles, options: OpenOptions): Promise<LocalSeparator> {
  const { threads = defaultThreads(), provider = "auto", ios = isIos() } = options;
  const choice = { threads, wasmPaths: options.wasmPaths, provider, ios };
  const runner = await choose(files, choice);
  if (options.threads !== undefined && runner.threads !== threads) {
    const reason = mayHaveThreads()
      ? "an earlier load decided"
      : "others need a page that is cross-origin isolated";
    files.notes.push(`WebAssembly has ${runner.threads} of ${threads} threads: ${reason}`);
  }
  return new LocalSeparator(files.artifact, files.notes, runner);
}

class LocalSeparator implements Separator {
  readonly #turns = new Turns();

  constructor(
    private readonly artifact: Artifact,
    readonly notes: string[],
    private readonly runner: ChosenRunner,
  ) {}

  get model(): ModelFacts {
    return this.artifact.facts;
  }

  get provider(): Provider {
    return this.runner.provider;
  }

  get threads(): number {
    return this.runner.threads;
  }

  async separate(
    mix: Float32Array[],
    options: SeparateOptions = {},
  ): Promise<Record<string, Float32Array[]>> {
    return this.#turns.take(() => this.#separate(mix, options));
  }

  async #separate(mix: Float32Array[], options: SeparateOptions): Promise<Record<string, Float32Array[]>> {
    const samples = checkMix(mix, this.model.channels);
    const stride = strideOf(this.model.segment, options.overlap ?? DEFAULT_OVERLAP);
    const whole = options.onBlock ? [] : newStems(this.model, samples);
    const take = options.onBlock ?? ((block: Block) => put(block, whole));
    for await (const block of this.#blocks(mix, samples, stride, options.signal)) {
      const done = block.start + block.stems[0]![0]!.length;
      await take(block);
      options.onProgress?.(done, samples);
    }
    return Object.fromEntries(whole.map((channels, i) => [this.model.stems[i]!, channels]));
  }

  async *#blocks(
    mix: Float32Array[],
    samples: number,
    stride: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Block> {
    const { channels, segment: size, stems } = this.model;
    const statistics = TrackStatistics.of(mix);
    const estimates = new OverlapAdd(stems.length * channels, size);
    for (const { start, length, settled, begin } of plan(samples, size, stride)) {
      // A run holds its thread: without a turn of the event loop nobody could abort.
      await nextTurn();
      signal?.throwIfAborted();
      const first = Math.max(0, begin);
      const window = new Float32Array(channels * size);
      mix.forEach((channel, c) => {
        const span = channel.subarray(first, Math.min(samples, begin + size));
        statistics.normalise(span, window.subarray(c * size + first - begin, (c + 1) * size));
      });
      const estimate = await this.runner.run(window);
      if (!estimate.every(Number.isFinite))
        throw new SeparatorError("run", "the model made samples that are not finite numbers");
      estimates.add(estimate, start - begin, length);
      const rows = estimates.settle(settled);
      rows.forEach((row, i) => statistics.restore(row, this.artifact.means[Math.floor(i / channels)]!));
      yield { start, stems: stems.map((_, s) => rows.slice(s * channels, (s + 1) * channels)) };
    }
  }

  async release(): Promise<void> {
    if (this.#turns.released) return;
    this.#turns.released = true;
    await this.runner.release();
  }
}

/** Silence for every stem: `[stem][channel]`. */
export function newStems({ stems, channels }: ModelFacts, samples: number): Float32Array[][] {
  return stems.map(() => Array.from({ length: channels }, () => new Float32Array(samples)));
}

export function put(block: Block, whole: Float32Array[][]): void {
  block.stems.forEach((channels, s) =>
    channels.forEach((samples, c) => whole[s]![c]!.set(samples, block.start)),
  );
}

/** The samples per channel of a mix that the model takes. */
export function checkMix(mix: readonly Float32Array[], channels: number): number {
  const samples = mix[0]?.length ?? 0;
  if (mix.length !== channels || samples === 0 || mix.some((channel) => channel.length !== samples))
    throw new SeparatorError(
      "mix",
      `the mix should be ${channels} channel${channels === 1 ? "" : "s"} of one length, and is [${mix.map((channel) => channel.length)}] samples`,
    );
  const bad = Math.max(...mix.map((channel) => channel.findIndex((sample) => !Number.isFinite(sample))));
  if (bad >= 0)
    throw new SeparatorError("mix", `sample ${bad} of the mix is not a finite number (NaN or infinity)`);
  return samples;
}

/** The next turn of the event loop; a timer would wait for a second in a tab that nobody looks at. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
