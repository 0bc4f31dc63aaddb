// Another sample rate by a windowed sinc. The pass band ends where that of soxr's high quality does.

import { SeparatorError } from "./errors.js";

const PASS_BAND = 0.913; // of the lower rate's half
const BETA = 13; // of Kaiser's window: 126 dB in the stop band
const ZEROS = 96; // of the sinc on either side: the width that such a window needs for that transition
const CUTOFF = (1 + PASS_BAND) / 2;
const MOST_PHASES = 4096; // whose taps are kept

/** Audio at `to` Hz in place of `from`; silence lies before and after it. */
export function resample(channels: Float32Array[], from: number, to: number): Float32Array[] {
  for (const rate of [from, to])
    if (!(Number.isInteger(rate) && rate > 0))
      throw new SeparatorError("rate", `a sample rate is a whole number of Hz, and ${rate} is none`);
  if (from === to) return channels.map((channel) => channel.slice());
  const filter = new Filter(from, to);
  return channels.map((channel) => filter.apply(channel));
}

class Filter {
  readonly #up: number;
  readonly #down: number;
  readonly #scale: number;
  readonly #reach: number;
  readonly #kept: Float64Array[] = [];

  constructor(from: number, to: number) {
    const divisor = greatestDivisor(from, to);
    this.#up = to / divisor;
    this.#down = from / divisor;
    this.#scale = Math.min(1, this.#up / this.#down);
    this.#reach = Math.ceil(ZEROS / this.#scale);
  }

  apply(signal: Float32Array): Float32Array {
    const result = new Float32Array(Math.round((signal.length * this.#up) / this.#down));
    for (let n = 0; n < result.length; n++) {
      const place = n * this.#down;
      const phase = place % this.#up;
      const taps = this.#taps(phase);
      const first = (place - phase) / this.#up - this.#reach + 1;
      const stop = Math.min(taps.length, signal.length - first);
      let sum = 0;
      for (let k = Math.max(0, -first); k < stop; k++) sum += taps[k]! * signal[first + k]!;
      result[n] = sum;
    }
    return result;
  }

  #taps(phase: number): Float64Array {
    const kept = this.#kept[phase];
    if (kept) return kept;
    const offset = phase / this.#up + this.#reach - 1;
    const taps = Float64Array.from(
      { length: 2 * this.#reach },
      (_, k) => this.#scale * kernel((k - offset) * this.#scale),
    );
    if (this.#up <= MOST_PHASES) this.#kept[phase] = taps;
    return taps;
  }
}

function kernel(time: number): number {
  const place = time / ZEROS;
  if (Math.abs(place) >= 1) return 0;
  const angle = Math.PI * CUTOFF * time;
  const sinc = angle === 0 ? 1 : Math.sin(angle) / angle;
  return (CUTOFF * sinc * bessel(BETA * Math.sqrt(1 - place * place))) / bessel(BETA);
}

/** The modified Bessel function of the first kind and order 0. */
function bessel(x: number): number {
  let [sum, term] = [1, 1];
  for (let k = 1; term > 1e-17 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}
