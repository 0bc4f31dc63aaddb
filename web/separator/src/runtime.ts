// onnxruntime-web: its two builds, and sessions in them.

import type { InferenceSession } from "onnxruntime-web";

import { WASM_FILES } from "./assets.js";
import type { ModelFiles } from "./download.js";
import { SeparatorError, inOneLine } from "./errors.js";
import type { ModelFacts } from "./metadata.js";
import { mayHaveThreads } from "./platform.js";

export type Provider = "wasm" | "webgpu";

/** One model in one session: segments `[C, N]` in, stems `[S, C, N]` out. */
export interface Runner {
  readonly threads: number;
  run(mix: Float32Array): Promise<Float32Array>;
  release(): Promise<void>;
}

/** What a build is asked for. */
export interface BuildOptions {
  threads: number;
  wasmPaths: string | undefined;
}

type Ort = typeof import("onnxruntime-web");

const IMPORTS: Record<Provider, () => Promise<Ort>> = {
  wasm: () => import("onnxruntime-web/wasm"),
  webgpu: () => import("onnxruntime-web/webgpu"),
};
const SILENT = "fatal"; // Errors are thrown as well, and would be told twice.

// A build is initialised once in a page or worker; a later number of threads would change nothing.
const threadsOf: Partial<Record<Provider, number>> = {};

/** Opens a model on the CPU, in the build for that or in the other. */
export async function openWasm(
  files: ModelFiles,
  options: BuildOptions,
  build: Provider = "wasm",
): Promise<Runner> {
  const ort = await loadBuild(build, options);
  return new SessionRunner(
    ort,
    await createSession(ort, files, "wasm"),
    files.artifact.facts,
    threadsOf[build]!,
  );
}

/** Opens a model on the GPU; a run in which the device reports an error, or is lost, fails. */
export async function openWebGpu(files: ModelFiles, options: BuildOptions): Promise<Runner> {
  const ort = await loadBuild("webgpu", options);
  const session = await createSession(ort, files, "webgpu");
  const device = (await ort.env.webgpu.device) as unknown as WatchedDevice;
  return new WatchedRunner(new SessionRunner(ort, session, files.artifact.facts, threadsOf.webgpu!), device);
}

async function loadBuild(build: Provider, options: BuildOptions): Promise<Ort> {
  const ort = await IMPORTS[build]();
  if (threadsOf[build] === undefined) {
    ort.env.logLevel = SILENT;
    ort.env.wasm.numThreads = threadsOf[build] = mayHaveThreads() ? options.threads : 1;
    ort.env.wasm.wasmPaths =
      options.wasmPaths === undefined ? WASM_FILES[build]() : absolute(options.wasmPaths);
  }
  return ort;
}

/** onnxruntime-web would resolve a relative folder against its own module. */
function absolute(folder: string): string {
  return new URL(folder.replace(/\/?$/, "/"), globalThis.location?.href).href;
}

async function createSession(ort: Ort, files: ModelFiles, provider: Provider): Promise<InferenceSession> {
  try {
    const session = await ort.InferenceSession.create(files.graph, {
      executionProviders: [provider],
      logSeverityLevel: 4,
      ...(files.data ? { externalData: [files.data] } : {}),
    });
    if (session.inputNames.length === 1 && session.outputNames.length === 1) return session;
    await session.release();
  } catch (error) {
    throw new SeparatorError("session", `onnxruntime-web cannot load the model (${inOneLine(error)})`);
  }
  throw new SeparatorError("interface", "the model has other inputs or outputs than a mix and its stems");
}

class SessionRunner implements Runner {
  constructor(
    private readonly ort: Ort,
    private readonly session: InferenceSession,
    private readonly facts: ModelFacts,
    readonly threads: number,
  ) {}

  async run(mix: Float32Array): Promise<Float32Array> {
    const { channels, segment, stems } = this.facts;
    const [input, output] = [this.session.inputNames[0]!, this.session.outputNames[0]!];
    let results: InferenceSession.OnnxValueMapType;
    try {
      results = await this.session.run({
        [input]: new this.ort.Tensor("float32", mix, [1, channels, segment]),
      });
    } catch (error) {
      throw new SeparatorError("run", `onnxruntime-web cannot run the model (${inOneLine(error)})`);
    }
    const data = results[output]!.data;
    if (!(data instanceof Float32Array) || data.length !== stems.length * mix.length)
      throw new SeparatorError(
        "metadata",
        "the model's output is not what its metadata describes; compile it again",
      );
    return data;
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}

/** The part of a GPUDevice that tells of errors. */
export interface WatchedDevice {
  readonly queue: { onSubmittedWorkDone(): Promise<unknown> };
  readonly lost: Promise<{ message: string }>;
  addEventListener(type: "uncapturederror", listener: (event: { error: { message: string } }) => void): void;
}

/** onnxruntime-web resolves a run though a shader was refused; only the device tells of that. */
export class WatchedRunner implements Runner {
  readonly #errors: string[] = [];
  readonly #lost: Promise<never>;

  constructor(
    private readonly runner: Runner,
    private readonly device: WatchedDevice,
  ) {
    device.addEventListener("uncapturederror", (event) => this.#errors.push(event.error.message));
    this.#lost = device.lost.then(({ message }) => {
      throw new SeparatorError("gpu", `the device was lost (${inOneLine(message)})`);
    });
    this.#lost.catch(() => undefined);
  }

  get threads(): number {
    return this.runner.threads;
  }

  async run(mix: Float32Array): Promise<Float32Array> {
    const stems = await Promise.race([this.runner.run(mix), this.#lost]);
    await Promise.race([this.device.queue.onSubmittedWorkDone(), this.#lost]);
    const [error] = this.#errors;
    if (error !== undefined) throw new SeparatorError("gpu", inOneLine(error));
    return stems;
  }

  release(): Promise<void> {
    return this.runner.release();
  }
}
