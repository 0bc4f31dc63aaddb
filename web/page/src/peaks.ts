// A waveform in little: the lowest and highest sample of each of many short spans.

export const SPANS = 1000;

export class Peaks {
  /** Lowest and highest sample of each span, in turn. */
  readonly spans = new Float32Array(2 * SPANS);
  /** The largest magnitude of all. */
  peak = 0;
  #at = 0;

  constructor(private readonly frames: number) {}

  /** Looks at the next samples of a track, interleaved. */
  add(samples: Float32Array, channels: number): void {
    for (let i = 0; i < samples.length; i += channels) {
      const span = 2 * Math.min(SPANS - 1, Math.floor((this.#at++ * SPANS) / this.frames));
      for (let c = 0; c < channels; c++) {
        const sample = samples[i + c]!;
        if (sample < this.spans[span]!) this.spans[span] = sample;
        if (sample > this.spans[span + 1]!) this.spans[span + 1] = sample;
        const magnitude = Math.abs(sample);
        if (!(magnitude <= this.peak)) this.peak = magnitude; // NaN stays
      }
    }
  }
}
