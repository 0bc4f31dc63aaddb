// A track cut into segments, and their weighted sum: onnx_demucs_compiler/runtime/segments.py, operation by
// operation in float32.

import { SeparatorError } from "./errors.js";

export const DEFAULT_OVERLAP = 0.25;

/**
 * One run of the model, in samples of the track.
 *
 * `start` and `length` are what it estimates, of which `settled` samples are touched by no later segment. The
 * window of the model begins at `begin`, which is before the track where that is negative.
 */
export interface Segment {
  start: number;
  length: number;
  settled: number;
  begin: number;
}

/** Samples between the starts of segments of `size` samples. */
export function strideOf(size: number, overlap: number): number {
  if (!(overlap >= 0 && overlap < 1))
    throw new SeparatorError("overlap", `the overlap must be at least 0 and below 1, and is ${overlap}`);
  const stride = Math.trunc((1 - overlap) * size);
  if (stride === 0)
    throw new SeparatorError(
      "overlap",
      `an overlap of ${overlap} leaves no step between segments of ${size} samples`,
    );
  return stride;
}

/** The segments that cover `track` samples with windows of `size`, in order. */
export function* plan(track: number, size: number, stride: number): Generator<Segment> {
  for (let start = 0; start < track; start += stride) {
    const length = Math.min(size, track - start);
    yield {
      start,
      length,
      settled: Math.min(stride, length),
      begin: start - Math.floor((size - length) / 2),
    };
  }
}

/** The weight of each sample of a segment: it rises to 1 in the middle and is never 0. */
export function triangle(size: number): Float32Array {
  const half = Math.floor(size / 2);
  const top = size - half;
  return Float32Array.from({ length: size }, (_, i) => (i < half ? i + 1 : size - i) / top);
}

/** The weighted mean of overlapping estimates, handed out as it settles. */
export class OverlapAdd {
  readonly #weight: Float32Array;
  readonly #weights: Float32Array;
  readonly #sums: Float32Array[];
  readonly #size: number;

  /** Starts at the beginning of a track of `rows` signals, for segments of `size` or less. */
  constructor(rows: number, size: number) {
    this.#size = size;
    this.#weight = triangle(size);
    this.#weights = new Float32Array(size);
    this.#sums = Array.from({ length: rows }, () => new Float32Array(size));
  }

  /** Adds the estimate of the segment at the first unsettled sample, of which `first` is the segment's start. */
  add(estimate: Float32Array, first: number, length: number): void {
    this.#sums.forEach((sum, row) => {
      const offset = row * this.#size + first;
      for (let i = 0; i < length; i++) sum[i]! += Math.fround(this.#weight[i]! * estimate[offset + i]!);
    });
    for (let i = 0; i < length; i++) this.#weights[i]! += this.#weight[i]!;
  }

  /** The first `count` unsettled samples of each signal, which are passed. */
  settle(count: number): Float32Array[] {
    const settled = this.#sums.map((sum) => sum.slice(0, count).map((value, i) => value / this.#weights[i]!));
    for (const row of [...this.#sums, this.#weights]) {
      row.copyWithin(0, count);
      row.fill(0, this.#size - count);
    }
    return settled;
  }
}
