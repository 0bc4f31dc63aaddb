// PCM and float wav files, sample by sample: browsers decode 16-bit ones to 93 dB only.

import { interleave } from "./channels.js";
import { SeparatorError } from "./errors.js";

/** Audio and its sample rate. */
export interface Wav {
  sampleRate: number;
  channels: Float32Array[];
}

export type WavFormat = "pcm16" | "pcm24" | "float32";

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;
const LIMIT = 2 ** 32;
const BLOCK = 1 << 16;

type Reader = (view: DataView, offset: number) => number;

const READERS: Record<string, Reader> = {
  [`${PCM}:16`]: (view, offset) => view.getInt16(offset, true) / 2 ** 15,
  [`${PCM}:24`]: (view, offset) =>
    (view.getInt8(offset + 2) * 2 ** 16 + view.getUint16(offset, true)) / 2 ** 23,
  [`${PCM}:32`]: (view, offset) => view.getInt32(offset, true) / 2 ** 31,
  [`${FLOAT}:32`]: (view, offset) => view.getFloat32(offset, true),
};

/** The samples of a wav file of 16, 24 or 32-bit integers or 32-bit floats; null for any other file. */
export function readWav(file: ArrayBuffer): Wav | null {
  const view = new DataView(file);
  if (view.byteLength < 12 || text(view, 0) !== "RIFF" || text(view, 8) !== "WAVE") return null;
  let format: { read: Reader; count: number; width: number; sampleRate: number } | null = null;
  for (let offset = 12; offset + 8 <= view.byteLength; ) {
    const [name, size, start] = [text(view, offset), view.getUint32(offset + 4, true), offset + 8];
    if (name === "fmt ") format = formatOf(view, start, size);
    if (name === "data") return format && samplesOf(view, start, size, format);
    offset = start + size + (size % 2);
  }
  return null;
}

function formatOf(view: DataView, start: number, size: number) {
  if (size < 16 || start + size > view.byteLength) return null;
  let kind = view.getUint16(start, true);
  if (kind === EXTENSIBLE && size >= 40) kind = view.getUint16(start + 24, true);
  const [count, sampleRate, bits] = [
    view.getUint16(start + 2, true),
    view.getUint32(start + 4, true),
    view.getUint16(start + 14, true),
  ];
  const read = READERS[`${kind}:${bits}`];
  return read && count > 0 && sampleRate > 0 ? { read, count, width: bits / 8, sampleRate } : null;
}

/** A header may count more than there is: of a stream nobody knew the end. */
function samplesOf(
  view: DataView,
  start: number,
  size: number,
  { read, count, width, sampleRate }: NonNullable<ReturnType<typeof formatOf>>,
): Wav {
  const frame = count * width;
  const length = Math.floor(Math.min(size, view.byteLength - start) / frame);
  const channels = Array.from({ length: count }, () => new Float32Array(length));
  channels.forEach((channel, c) => {
    for (let i = 0; i < length; i++) channel[i] = read(view, start + i * frame + c * width);
  });
  return { sampleRate, channels };
}

const WRITERS: Record<WavFormat, [number, (view: DataView, offset: number, sample: number) => void]> = {
  pcm16: [
    2,
    (view, offset, sample) =>
      view.setInt16(offset, Math.trunc(Math.fround(clamped(sample) * (2 ** 15 - 1))), true),
  ],
  pcm24: [
    3,
    (view, offset, sample) => {
      const value = Math.round(clamped(sample) * (2 ** 23 - 1));
      view.setUint16(offset, value & 0xffff, true);
      view.setInt8(offset + 2, value >> 16);
    },
  ],
  float32: [4, (view, offset, sample) => view.setFloat32(offset, sample, true)],
};

/**
 * A wav file piece by piece: `head`, `body` of all samples in order, `tail`; `size` bytes together.
 *
 * Integers are clamped to full scale; 16 bits are rounded as `onnx-demucs separate` rounds them, 24 to the nearest.
 */
export class WavPieces {
  readonly head: Uint8Array<ArrayBuffer>;
  /** A byte where the samples are an odd number of bytes; else empty. */
  readonly tail: Uint8Array<ArrayBuffer>;
  readonly size: number;

  constructor(
    private readonly format: WavFormat,
    channels: number,
    frames: number,
    sampleRate: number,
  ) {
    const bytes = WRITERS[format][0] * channels * frames;
    this.tail = new Uint8Array(bytes % 2);
    this.head = headOf(format, channels, frames, sampleRate, bytes);
    this.size = this.head.length + bytes + this.tail.length;
  }

  /** Interleaved samples as they stand in the file. */
  body(samples: Float32Array): Uint8Array<ArrayBuffer> {
    const [width, write] = WRITERS[this.format];
    const bytes = new Uint8Array(width * samples.length);
    const view = new DataView(bytes.buffer);
    samples.forEach((sample, i) => write(view, width * i, sample));
    return bytes;
  }
}

/** A wav file. */
export function writeWav(
  channels: readonly Float32Array[],
  sampleRate: number,
  format: WavFormat = "float32",
): Uint8Array<ArrayBuffer> {
  const frames = channels[0]?.length ?? 0;
  const pieces = new WavPieces(format, channels.length, frames, sampleRate);
  const file = new Uint8Array(pieces.size);
  file.set(pieces.head);
  let end = pieces.head.length;
  for (let start = 0; start < frames; start += BLOCK) {
    const block = pieces.body(interleave(channels.map((channel) => channel.subarray(start, start + BLOCK))));
    file.set(block, end);
    end += block.length;
  }
  return file;
}

/** All that stands before the samples. Of floats it says too how many frames there are, as Microsoft's text asks. */
function headOf(
  format: WavFormat,
  channels: number,
  frames: number,
  sampleRate: number,
  bytes: number,
): Uint8Array<ArrayBuffer> {
  const [width] = WRITERS[format];
  const float = format === "float32";
  const head = new Uint8Array(float ? 58 : 44);
  const view = new DataView(head.buffer);
  const put = (offset: number, name: string) => head.set(new TextEncoder().encode(name), offset);
  const size = head.length + bytes + (bytes % 2);
  if (size > LIMIT) throw new SeparatorError("wav", "a wav file holds 4 GB at most; write a shorter one");
  put(0, "RIFF");
  view.setUint32(4, size - 8, true);
  put(8, "WAVEfmt ");
  view.setUint32(16, float ? 18 : 16, true);
  view.setUint16(20, float ? FLOAT : PCM, true);
  view.setUint16(22, channels, true);
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, sampleRate * channels * width, true);
  view.setUint16(32, channels * width, true);
  view.setUint16(34, 8 * width, true);
  if (float) {
    put(38, "fact");
    view.setUint32(42, 4, true);
    view.setUint32(46, frames, true);
  }
  put(head.length - 8, "data");
  view.setUint32(head.length - 4, bytes, true);
  return head;
}

function clamped(sample: number): number {
  return Math.max(-1, Math.min(1, sample));
}

function text(view: DataView, offset: number): string {
  return String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(offset + i)));
}
