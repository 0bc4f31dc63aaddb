// Demucs' normalisation: onnx_demucs_compiler/runtime/statistics.py.

const SILENCE = Math.fround(1e-8);
const BLOCK = 1 << 16;

/** The mean and deviation of a track's mono mix-down, and what is done with them. */
export class TrackStatistics {
  constructor(
    readonly mean: number,
    readonly scale: number,
  ) {}

  /** Gathers from a track in float64, block by block, as Chan, Golub and LeVeque merge them (1979). */
  static of(track: readonly Float32Array[]): TrackStatistics {
    const size = track[0]?.length ?? 0;
    let [length, mean, squares] = [0, 0, 0];
    for (let start = 0; start < size; start += BLOCK) {
      const mono = monoOf(track, start, Math.min(start + BLOCK, size));
      const blockMean = mono.reduce((sum, sample) => sum + sample, 0) / mono.length;
      const delta = blockMean - mean;
      squares += mono.reduce((sum, sample) => sum + (sample - blockMean) ** 2, 0);
      squares += (delta ** 2 * length * mono.length) / (length + mono.length);
      length += mono.length;
      mean += (delta * mono.length) / length;
    }
    const deviation = length > 1 ? Math.sqrt(squares / (length - 1)) : 0;
    return new TrackStatistics(Math.fround(mean), Math.fround(Math.fround(deviation) + SILENCE));
  }

  /** Writes `source` at zero mean and unit deviation into `target`. */
  normalise(source: Float32Array, target: Float32Array): void {
    for (let i = 0; i < source.length; i++) target[i] = Math.fround(source[i]! - this.mean) / this.scale;
  }

  /** Undoes it in place; `means` is how many times the mean was taken out of the signal. */
  restore(signal: Float32Array, means: number): void {
    const offset = Math.fround(this.mean * means);
    for (let i = 0; i < signal.length; i++) signal[i] = Math.fround(signal[i]! * this.scale) + offset;
  }
}

function monoOf(track: readonly Float32Array[], start: number, stop: number): Float64Array {
  const mono = new Float64Array(stop - start);
  for (const channel of track) for (let i = start; i < stop; i++) mono[i - start]! += channel[i]!;
  return mono.map((sum) => sum / track.length);
}
