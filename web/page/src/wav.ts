// Stems as wav files, in pieces: what onnx-demucs separate writes, and 24 bits.

import { Problem } from "./problems.js";

export type Format = "16" | "24" | "float";

const BYTES: Record<Format, number> = { "16": 2, "24": 3, float: 4 };
const MOST = 2 ** 32 - 2 ** 12;

/** The bytes of samples of a file. */
export function dataSize(format: Format, channels: number, frames: number): number {
  return BYTES[format] * channels * frames;
}

/** All that stands before the samples. */
export function header(
  format: Format,
  channels: number,
  frames: number,
  rate: number,
): Uint8Array<ArrayBuffer> {
  const size = dataSize(format, channels, frames);
  if (size > MOST)
    throw new Problem("A wav file holds 4 GB at most, and this stem is longer. Choose 16 bits.");
  const frame = BYTES[format] * channels;
  const extra = format === "float" ? 14 : 0; // an empty extension, and how many frames there are
  const bytes = new Uint8Array(44 + extra);
  const view = new DataView(bytes.buffer);
  const text = (at: number, word: string) => bytes.set(new TextEncoder().encode(word), at);
  text(0, "RIFF");
  view.setUint32(4, 36 + extra + size + (size % 2), true);
  text(8, "WAVEfmt ");
  view.setUint32(16, format === "float" ? 18 : 16, true);
  view.setUint16(20, format === "float" ? 3 : 1, true);
  view.setUint16(22, channels, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, rate * frame, true);
  view.setUint16(32, frame, true);
  view.setUint16(34, 8 * BYTES[format], true);
  if (format === "float") {
    text(38, "fact");
    view.setUint32(42, 4, true);
    view.setUint32(46, frames, true);
  }
  text(36 + extra, "data");
  view.setUint32(40 + extra, size, true);
  return bytes;
}

/** Interleaved samples in a file's form; beyond full scale integers are clipped. */
export function encode(samples: Float32Array, format: Format): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(BYTES[format] * samples.length);
  const view = new DataView(bytes.buffer);
  if (format === "float") samples.forEach((sample, i) => view.setFloat32(4 * i, sample, true));
  else if (format === "16")
    samples.forEach((sample, i) =>
      view.setInt16(2 * i, Math.trunc(Math.fround(clipped(sample) * 32767)), true),
    );
  else
    samples.forEach((sample, i) => {
      const value = Math.round(clipped(sample) * 8388607);
      view.setUint16(3 * i, value & 0xffff, true);
      view.setInt8(3 * i + 2, value >> 16);
    });
  return bytes;
}

function clipped(sample: number): number {
  return Math.max(-1, Math.min(1, sample));
}
