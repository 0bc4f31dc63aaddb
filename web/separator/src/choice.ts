// WebGPU where it is really there and really right, WebAssembly otherwise, and the reason.

import type { ModelFiles } from "./download.js";
import { inOneLine } from "./errors.js";
import type { ModelFacts } from "./metadata.js";
import { type BuildOptions, type Provider, type Runner, openWasm, openWebGpu } from "./runtime.js";

/** Below it a provider is wrong; rounding alone leaves about 100 dB. */
const LEAST_DB = 60;

/** The part of `navigator.gpu` that is asked. */
export interface Gpu {
  requestAdapter(): Promise<{ readonly info?: { readonly isFallbackAdapter?: boolean } } | null>;
}

/** What opens sessions; tests put their own in its place. */
export interface Builds {
  wasm: typeof openWasm;
  webgpu: typeof openWebGpu;
  gpu: Gpu | undefined;
}

/** What `choose` is asked for. */
export interface Choice extends BuildOptions {
  provider: "auto" | Provider;
  ios: boolean;
}

const OWN: Builds = {
  wasm: openWasm,
  webgpu: openWebGpu,
  get gpu() {
    return (globalThis.navigator as { gpu?: Gpu } | undefined)?.gpu;
  },
};

/** Opens a model with the provider asked for, or with WebAssembly and a note of the reason. */
export async function choose(files: ModelFiles, choice: Choice, builds: Builds = OWN): Promise<ChosenRunner> {
  const openCpu = () => builds.wasm(files, choice);
  if (choice.provider !== "wasm") {
    try {
      const reason = await reasonAgainst(files.artifact.facts, choice.ios, builds.gpu);
      if (reason !== undefined) throw new Error(reason);
      return new ChosenRunner(await tried(files, choice, builds), openCpu, files.notes);
    } catch (error) {
      files.notes.push(`WebGPU is not used: ${inOneLine(error)}`);
    }
  }
  return new ChosenRunner(undefined, openCpu, files.notes).ready();
}

async function reasonAgainst(
  facts: ModelFacts,
  ios: boolean,
  gpu: Gpu | undefined,
): Promise<string | undefined> {
  if (facts.providers.length === 0) return "this model was not compiled with --target web";
  if (!facts.providers.includes("webgpu")) return "this model has operators that WebGPU lacks";
  if (ios) return "browsers on iOS run out of memory with it";
  if (!gpu) return "this browser does not have it";
  const adapter = await gpu.requestAdapter();
  if (!adapter) return "this browser finds no GPU for it";
  return adapter.info?.isFallbackAdapter ? "the only GPU is one in software" : undefined;
}

/** A session on the GPU that agrees with the CPU on one known segment. */
async function tried(files: ModelFiles, choice: Choice, builds: Builds): Promise<Runner> {
  const { channels, segment } = files.artifact.facts;
  const mix = knownSegment(channels, segment);
  const gpu = await builds.webgpu(files, choice);
  try {
    const found = await gpu.run(mix);
    // In the same build: that for the CPU alone is loaded where it is needed.
    const cpu = await builds.wasm(files, choice, "webgpu");
    try {
      const agreement = snr(await cpu.run(mix), found);
      if (!(agreement >= LEAST_DB))
        throw new Error(`its stems differ from WebAssembly's (${agreement.toFixed(0)} dB)`);
    } finally {
      await cpu.release();
    }
    return gpu;
  } catch (error) {
    await gpu.release().catch(() => undefined);
    throw error;
  }
}

/** Tones and noise of unit level, the same everywhere. */
export function knownSegment(channels: number, segment: number): Float32Array {
  let state = 1;
  return Float32Array.from({ length: channels * segment }, (_, i) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.sin(0.01 * i) + Math.sin(0.17 * i + 1) + 2 * (state / 2 ** 32 - 0.5);
  });
}

/** In dB; NaN where a number is not finite. */
export function snr(wanted: Float32Array, found: Float32Array): number {
  let [signal, wrong] = [0, 0];
  for (let i = 0; i < wanted.length; i++) {
    signal += wanted[i]! ** 2;
    wrong += (wanted[i]! - found[i]!) ** 2;
  }
  return 10 * Math.log10(signal / wrong);
}

/** Runs on the GPU while that goes well, and on the CPU from the segment on in which it does not. */
export class ChosenRunner implements Runner {
  #cpu: Runner | undefined;
  #openCpu: (() => Promise<Runner>) | undefined;

  constructor(
    private gpu: Runner | undefined,
    openCpu: () => Promise<Runner>,
    private readonly notes: string[],
  ) {
    this.#openCpu = openCpu;
  }

  get provider(): Provider {
    return this.gpu ? "webgpu" : "wasm";
  }

  get threads(): number {
    return (this.gpu ?? this.#cpu)?.threads ?? 1;
  }

  /** Itself, with the CPU's session open; nothing holds the files any more. */
  async ready(): Promise<this> {
    this.#cpu ??= await this.#openCpu!();
    this.#openCpu = undefined;
    return this;
  }

  async run(mix: Float32Array): Promise<Float32Array> {
    if (this.gpu) {
      try {
        const stems = await this.gpu.run(mix);
        if (stems.every(Number.isFinite)) return stems;
        throw new Error("it made samples that are not finite numbers");
      } catch (error) {
        this.notes.push(`WebGPU was left in the middle: ${inOneLine(error)}`);
        await this.gpu.release().catch(() => undefined);
        this.gpu = undefined;
      }
    }
    await this.ready();
    return this.#cpu!.run(mix);
  }

  async release(): Promise<void> {
    await Promise.all([this.gpu?.release(), this.#cpu?.release()]);
  }
}
