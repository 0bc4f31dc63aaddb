// The built package, as it is packed, in Node.

import { beforeAll, describe, expect, test } from "vitest";

import type { Separator } from "../src/index.js";
import { bytes, fixtures, floats, snr } from "./fixtures.js";

const BUILT = new URL("../dist/index.js", import.meta.url).href;
const { load, SeparatorError }: typeof import("../src/index.js") = await import(/* @vite-ignore */ BUILT);

const mix = fixtures.separated.mix.map(floats);
const wanted = Object.entries(fixtures.separated.stems).map(
  ([name, stem]) => [name, stem.map(floats)] as const,
);
let separator: Separator;

beforeAll(async () => {
  separator = await load(bytes(fixtures.separated.graph), {
    data: bytes(fixtures.separated.data),
    threads: 4,
  });
});

describe("a separator", () => {
  test("says what runs it", () => {
    expect([separator.provider, separator.threads]).toEqual(["wasm", 1]);
    expect(separator.notes).toEqual([
      "WebGPU is not used: this model was not compiled with --target web",
      "WebAssembly has 1 of 4 threads: others need a page that is cross-origin isolated",
    ]);
  });

  test("makes the stems that Python makes", async () => {
    const told: number[][] = [];
    const found = await separator.separate(mix, { onProgress: (...counts) => told.push(counts) });
    expect(Object.keys(found)).toEqual(wanted.map(([name]) => name));
    for (const [name, stem] of wanted) expect(snr(stem, found[name]!)).toBeGreaterThan(120);
    expect(told).toEqual([150, 300, 450, 470].map((done) => [done, 470]));
  });

  test("hands out blocks in place of a result, and waits for them", async () => {
    const whole = await separator.separate(mix, { overlap: 0.5 });
    const parts = wanted.map(() => mix.map(() => new Float32Array(470)));
    let taking = 0;
    const result = await separator.separate(mix, {
      overlap: 0.5,
      onBlock: async ({ start, stems }) => {
        expect(++taking).toBe(1);
        await new Promise((resolve) => setTimeout(resolve, 5));
        stems.forEach((stem, s) => stem.forEach((samples, c) => parts[s]![c]!.set(samples, start)));
        taking--;
      },
    });
    expect(result).toEqual({});
    expect(parts).toEqual(Object.values(whole));
  });

  test("of a model in one file is the same", async () => {
    const single = await load(bytes(fixtures.separated.model));
    expect(await single.separate(mix)).toEqual(await separator.separate(mix));
    await single.release();
  });

  test("stops where its signal says", async () => {
    const controller = new AbortController();
    const told: number[] = [];
    const running = separator.separate(mix, {
      overlap: 0.9,
      signal: controller.signal,
      onProgress: (done) => {
        told.push(done);
        setImmediate(() => controller.abort());
      },
    });
    await expect(running).rejects.toMatchObject({ name: "AbortError" });
    expect(told.length).toBeLessThan(24);
    expect(Object.keys(await separator.separate(mix))).toHaveLength(2);
  });

  test("does one thing at a time", async () => {
    const first = separator.separate(mix);
    await expect(separator.separate(mix)).rejects.toMatchObject({ code: "busy" });
    await first;
  });

  test.each([
    ["mix", [new Float32Array(5)]],
    ["mix", [new Float32Array(5), new Float32Array(4)]],
    ["mix", [new Float32Array(0), new Float32Array(0)]],
    ["mix", [Float32Array.of(1, Number.NaN), Float32Array.of(1, 2)]],
  ])("refuses another %s", async (code, wrong) => {
    await expect(separator.separate(wrong)).rejects.toMatchObject({ code, name: "SeparatorError" });
  });

  test("refuses an overlap out of range", async () => {
    await expect(separator.separate(mix, { overlap: 1 })).rejects.toBeInstanceOf(SeparatorError);
  });

  test("fails where a callback does", async () => {
    const failing = separator.separate(mix, { onBlock: () => Promise.reject(new Error("disk full")) });
    await expect(failing).rejects.toThrow("disk full");
  });
});

test("weights that are cut short cannot be loaded", async () => {
  const loading = load(bytes(fixtures.separated.graph), {
    data: bytes(fixtures.separated.data).slice(0, 100),
  });
  await expect(loading).rejects.toMatchObject({
    code: "session",
    message: expect.not.stringContaining("\n"),
  });
});

test("what is released says so", async () => {
  const gone = await load(bytes(fixtures.separated.model));
  await gone.release();
  await gone.release();
  await expect(gone.separate(mix)).rejects.toMatchObject({ code: "released" });
});
