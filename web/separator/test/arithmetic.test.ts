import { describe, expect, test } from "vitest";

import { toChannels } from "../src/channels.js";
import { resample } from "../src/resample.js";
import { OverlapAdd, plan, strideOf, triangle } from "../src/segments.js";
import { TrackStatistics } from "../src/statistics.js";
import { type WavFormat, WavPieces, readWav, writeWav } from "../src/wav.js";
import { bytes, fixtures, floats, snr } from "./fixtures.js";

describe("segments", () => {
  test.each(fixtures.plans)(
    "$track samples in $size, overlap $overlap",
    ({ track, size, overlap, stride, segments }) => {
      expect(strideOf(size, overlap)).toBe(stride);
      const found = [...plan(track, size, stride)];
      expect(found.map(({ start, length, settled, begin }) => [start, length, settled, begin])).toEqual(
        segments,
      );
    },
  );

  test.each(Object.entries(fixtures.weights))("weights of %s samples", (size, weights) => {
    expect([...triangle(Number(size))]).toEqual(weights);
  });

  test.each([1, -0.1, Number.NaN])("an overlap of %s", (overlap) => {
    expect(() => strideOf(100, overlap)).toThrow("at least 0 and below 1");
  });

  test("an overlap that leaves no step", () => {
    expect(() => strideOf(10, 0.95)).toThrow("leaves no step");
  });

  test("the sum of a constant is that constant", () => {
    const sum = new OverlapAdd(2, 10);
    const found = [...plan(47, 10, 3)].flatMap(({ begin, start, length, settled }) => {
      sum.add(new Float32Array(20).fill(0.5), start - begin, length);
      return [...sum.settle(settled)[1]!];
    });
    expect(found).toHaveLength(47);
    found.forEach((sample) => expect(sample).toBeCloseTo(0.5, 6));
  });
});

describe("statistics", () => {
  test("those of Python", () => {
    const { mix, mean, scale } = fixtures.statistics;
    const found = TrackStatistics.of(mix.map(floats));
    expect([found.mean, found.scale]).toEqual([mean, scale]);
  });

  test("of more than one block, far from zero", () => {
    const ramp = Float32Array.from({ length: 200_000 }, (_, i) => 1000 + i / 200_000);
    const found = TrackStatistics.of([ramp]);
    expect(found.mean).toBeCloseTo(1000.5, 3);
    expect(found.scale).toBeCloseTo(Math.sqrt(1 / 12), 4);
  });

  test("silence can be divided by, and one sample has no deviation", () => {
    expect(TrackStatistics.of([new Float32Array(9)]).scale).toBe(Math.fround(1e-8));
    expect(TrackStatistics.of([new Float32Array([3])]).scale).toBe(Math.fround(1e-8));
  });
});

describe("resample", () => {
  test.each(fixtures.resampled)("$from to $to Hz", ({ from, to, signal, result }) => {
    const wanted = floats(result);
    const [found] = resample([floats(signal)], from, to);
    expect(found!.length).toBe(wanted.length);
    expect(snr([wanted], [found!])).toBeGreaterThan(100);
  });

  test.each(fixtures.resampled)("tones up to 0.45 of the lower rate, $from to $to Hz", ({ from, to }) => {
    const seconds = 4000 / from;
    const tones = (rate: number) =>
      Float32Array.from({ length: Math.round(seconds * rate) }, (_, i) => {
        const time = i / rate;
        const sum = [0.1, 0.3, 0.42, 0.45].reduce(
          (all, f) => all + Math.sin(2 * Math.PI * f * Math.min(from, to) * time),
          0,
        );
        return (sum / 4) * Math.sin((Math.PI * time) / seconds) ** 4;
      });
    expect(snr([tones(to)], resample([tones(from)], from, to))).toBeGreaterThan(115);
  });

  test("what the lower rate cannot hold is gone", () => {
    const tone = Float32Array.from({ length: 4000 }, (_, i) => Math.sin(0.9 * Math.PI * i));
    const [found] = resample([tone], 44100, 22050);
    expect(Math.max(...found!.subarray(200, 1800).map(Math.abs))).toBeLessThan(2e-6);
  });

  test.each([0, 44100.5, -1])("a rate of %s", (rate) => {
    expect(() => resample([new Float32Array(2)], 44100, rate)).toThrow("whole number of Hz");
  });
});

describe("wav", () => {
  test.each(fixtures.wav)("$name", ({ file, channels }) => {
    const found = readWav(bytes(file));
    expect(found).toEqual({ sampleRate: 8000, channels: channels.map(floats) });
  });

  test.each(["float32", "pcm16", "pcm24"] as const)("written as %s and read back", (format) => {
    const channels = [Float32Array.of(0, 0.5, -0.25, 1), Float32Array.of(1.5, -2, 0.1, -1)];
    const read = readWav(writeWav(channels, 44100, format).buffer)!;
    expect(read.sampleRate).toBe(44100);
    if (format === "float32") expect(read.channels).toEqual(channels);
    const step = format === "pcm16" ? 2 ** -14 : 2 ** -22;
    read.channels.forEach((channel, c) =>
      channel.forEach((sample, i) => {
        const wanted = format === "float32" ? channels[c]![i]! : Math.max(-1, Math.min(1, channels[c]![i]!));
        expect(Math.abs(sample - wanted)).toBeLessThan(step);
      }),
    );
  });

  test("samples are rounded, and beyond full scale integers are clamped", () => {
    const samples = [0, 0.5, -0.5, 1, -1, 1.5, -1.5, 0.99999];
    const read = (format: WavFormat, full: number) =>
      [...readWav(writeWav([Float32Array.from(samples)], 8000, format).buffer)!.channels[0]!].map(
        (sample) => sample * full,
      );
    expect(read("pcm16", 2 ** 15)).toEqual([0, 16383, -16383, 32767, -32767, 32767, -32767, 32766]);
    expect(read("pcm24", 2 ** 23)).toEqual([
      0, 4194304, -4194303, 8388607, -8388607, 8388607, -8388607, 8388523,
    ]);
    expect(read("float32", 1)).toEqual(samples.map(Math.fround));
  });

  test("pieces make the whole file, whose header counts its bytes", () => {
    const channels = [Float32Array.from({ length: 70001 }, (_, i) => i / 70001)];
    for (const format of ["float32", "pcm16", "pcm24"] as const) {
      const pieces = new WavPieces(format, 1, 70001, 8000);
      const parts = [pieces.head, pieces.body(channels[0]!), pieces.tail];
      const file = writeWav(channels, 8000, format);
      expect(Buffer.concat(parts).equals(file)).toBe(true);
      expect([file.length, file.length % 2]).toEqual([pieces.size, 0]);
      expect(new DataView(file.buffer).getUint32(4, true)).toBe(file.length - 8);
    }
  });

  test("a file that no header can count is refused", () => {
    expect(() => new WavPieces("float32", 2, 2 ** 29, 44100)).toThrow("4 GB at most");
  });

  test("a header that counts more than there is", () => {
    const file = writeWav([Float32Array.of(1, 2, 3, 4)], 8000);
    expect([...readWav(file.slice(0, -6).buffer)!.channels[0]!]).toEqual([1, 2]);
  });

  test("other files", () => {
    const law = writeWav([Float32Array.of(1, 2)], 8000);
    law[20] = 7; // µ-law
    const files = [
      new Uint8Array(0),
      new Uint8Array(100),
      law,
      law.slice(0, 30),
      new TextEncoder().encode("RIFF0000WAVEfmt "),
    ];
    for (const file of files) expect(readWav(file.slice().buffer)).toBeNull();
  });
});

test("channels as demucs has them", () => {
  const [a, b, c] = [Float32Array.of(1, 2), Float32Array.of(3, 5), Float32Array.of(5, 7)];
  expect(toChannels([a], 2)).toEqual([a, a]);
  expect(toChannels([a, b, c], 2)).toEqual([a, b]);
  expect(toChannels([a, b], 1)).toEqual([Float32Array.of(2, 3.5)]);
});
