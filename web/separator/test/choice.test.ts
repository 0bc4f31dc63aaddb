import { describe, expect, test, vi } from "vitest";

import { type Builds, type Choice, type Gpu, choose, knownSegment } from "../src/choice.js";
import type { ModelFiles } from "../src/download.js";
import { type Runner, type WatchedDevice, WatchedRunner } from "../src/runtime.js";

const ADAPTER = { info: { isFallbackAdapter: false } };

function filesFor(providers: string[]): ModelFiles {
  const facts = {
    stems: ["a"],
    sampleRate: 8000,
    channels: 2,
    segment: 50,
    model: "m",
    precision: "fp32",
    providers,
    sha256: "",
  };
  return { graph: new Uint8Array(), data: undefined, artifact: { facts, means: [1] }, notes: [] };
}

function runner(run: (mix: Float32Array) => Float32Array | Promise<Float32Array> = (mix) => mix.slice()) {
  return {
    threads: 1,
    run: vi.fn(async (mix: Float32Array) => run(mix)),
    release: vi.fn(async () => undefined),
  };
}

/** What is chosen where the GPU does `onGpu`. */
async function chosen({
  onGpu = runner(),
  adapter = ADAPTER as Awaited<ReturnType<Gpu["requestAdapter"]>>,
  gpu = { requestAdapter: async () => adapter } as Gpu | undefined,
  providers = ["webgpu", "wasm"],
  choice = {} as Partial<Choice>,
} = {}) {
  const files = filesFor(providers);
  const builds = {
    gpu,
    webgpu: vi.fn(async () => onGpu as Runner),
    wasm: vi.fn(async () => runner() as Runner),
  };
  const wanted: Choice = { provider: "auto", threads: 1, wasmPaths: undefined, ios: false, ...choice };
  return { found: await choose(files, wanted, builds as Builds), builds, notes: files.notes };
}

describe("WebGPU", () => {
  test("is chosen where it agrees, and the CPU's session is let go", async () => {
    const { found, builds, notes } = await chosen();
    expect([found.provider, notes]).toEqual(["webgpu", []]);
    expect(builds.wasm).toHaveBeenCalledExactlyOnceWith(expect.anything(), expect.anything(), "webgpu");
    expect((await builds.wasm.mock.results[0]!.value).release).toHaveBeenCalledOnce();
  });

  test.each([
    ["was not compiled with --target web", { providers: [] }],
    ["operators that WebGPU lacks", { providers: ["wasm"] }],
    ["on iOS", { choice: { ios: true } }],
    ["finds no GPU", { adapter: null }],
    ["one in software", { adapter: { info: { isFallbackAdapter: true } } }],
  ])("is not loaded: %s", async (reason, place) => {
    const { found, builds, notes } = await chosen(place);
    expect([found.provider, builds.webgpu.mock.calls]).toEqual(["wasm", []]);
    expect(notes).toEqual([expect.stringMatching(`^WebGPU is not used: .*${reason}`)]);
  });

  test("is not there", async () => {
    const files = filesFor(["webgpu", "wasm"]);
    const builds = { gpu: undefined, webgpu: vi.fn(), wasm: async () => runner() as Runner };
    await choose(files, { provider: "webgpu", threads: 1, wasmPaths: undefined, ios: false }, builds);
    expect(files.notes).toEqual(["WebGPU is not used: this browser does not have it"]);
  });

  test("is not asked about", async () => {
    const { found, builds, notes } = await chosen({ choice: { provider: "wasm" } });
    expect([found.provider, notes, builds.webgpu.mock.calls]).toEqual(["wasm", [], []]);
  });

  test.each([
    ["zeros", () => new Float32Array(100), "differ from WebAssembly's (0 dB)"],
    ["noise at -40 dB", (mix: Float32Array) => mix.map((x, i) => x + (i % 2 ? 0.01 : -0.01)), "(41 dB)"],
    ["no numbers", (mix: Float32Array) => mix.map(() => Number.NaN), "NaN dB"],
    ["an error", () => Promise.reject(new Error("too many\nbuffers")), "too many buffers"],
  ])("is left where a known segment becomes %s", async (_, run, reason) => {
    const onGpu = runner(run);
    const { found, builds, notes } = await chosen({ onGpu });
    expect(found.provider).toBe("wasm");
    expect(notes).toEqual([expect.stringContaining(reason)]);
    expect(onGpu.release).toHaveBeenCalledOnce();
    expect(builds.wasm).toHaveBeenLastCalledWith(expect.anything(), expect.anything());
  });

  test("is left in the middle, and the segment is not lost", async () => {
    let runs = 0;
    const onGpu = runner((mix) =>
      ++runs < 3 ? mix.slice() : Promise.reject(new Error("the device was lost")),
    );
    const { found, notes } = await chosen({ onGpu });
    const mix = knownSegment(2, 50);
    expect(await found.run(mix)).toEqual(mix);
    expect([found.provider, notes]).toEqual(["webgpu", []]);
    expect(await found.run(mix)).toEqual(mix);
    expect([found.provider, notes]).toEqual(["wasm", ["WebGPU was left in the middle: the device was lost"]]);
    expect(await found.run(mix)).toEqual(mix);
    expect(onGpu.run).toHaveBeenCalledTimes(3);
  });
});

describe("a watched device", () => {
  function device() {
    const listeners: ((event: { error: { message: string } }) => void)[] = [];
    let lose: (info: { message: string }) => void = () => undefined;
    const watched: WatchedDevice = {
      queue: { onSubmittedWorkDone: async () => undefined },
      lost: new Promise((resolve) => (lose = resolve)),
      addEventListener: (_, listener) => listeners.push(listener),
    };
    return {
      watched,
      err: (message: string) => listeners.forEach((tell) => tell({ error: { message } })),
      lose,
    };
  }

  test("a run in which it reports an error fails", async () => {
    const { watched, err } = device();
    const mix = Float32Array.of(1);
    const found = new WatchedRunner(
      runner((x) => (x[0] === 2 && err("Too many\nbuffers"), x)),
      watched,
    );
    expect(await found.run(mix)).toBe(mix);
    await expect(found.run(Float32Array.of(2))).rejects.toMatchObject({
      code: "gpu",
      message: "Too many buffers",
    });
  });

  test("a run does not wait for a device that is lost", async () => {
    const { watched, lose } = device();
    const found = new WatchedRunner(
      runner(() => new Promise(() => undefined)),
      watched,
    );
    const run = found.run(Float32Array.of(1));
    lose({ message: "unplugged" });
    await expect(run).rejects.toMatchObject({ code: "gpu", message: expect.stringContaining("unplugged") });
  });
});
