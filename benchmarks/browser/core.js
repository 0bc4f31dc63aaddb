// The host's side of a graph with the interface `core`: demucs' STFT and its inverse, by fft.js in float64.
//
// Spectra are `[B, 2C, F, T]` as demucs has them: real and imaginary parts in turn, without the Nyquist bin and the
// two frames at either end.
import FFT from "/fft.js";

const OVERLAPPING = 4;
/** The sum of the squares of the windows over a sample. */
const ENVELOPE = 1.5;

export class Core {
  /** `nFft` is a power of two. */
  constructor(nFft) {
    this.size = nFft;
    this.hop = nFft / OVERLAPPING;
    this.lead = (this.hop / 2) * 3;
    this.fft = new FFT(nFft);
    this.window = Float64Array.from(
      { length: nFft },
      (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / nFft),
    );
  }

  /** The data and shape of the spectrum of a mix `[1, C, N]`. */
  analysed(mix, [, channels, samples]) {
    const { size, hop, lead, fft, window } = this;
    const [bins, frames] = [size / 2, Math.ceil(samples / hop)];
    const mag = new Float32Array(channels * 2 * bins * frames);
    const frame = new Array(size);
    const spectrum = fft.createComplexArray();
    const norm = 1 / Math.sqrt(size);
    for (let channel = 0; channel < channels; channel++) {
      const audio = mix.subarray(channel * samples, (channel + 1) * samples);
      const [real, imaginary] = [2 * channel, 2 * channel + 1].map(
        (part) => part * bins * frames,
      );
      for (let t = 0; t < frames; t++) {
        const start = t * hop - lead;
        for (let n = 0; n < size; n++)
          frame[n] = reflected(audio, start + n) * window[n] * norm;
        fft.realTransform(spectrum, frame);
        for (let bin = 0; bin < bins; bin++) {
          mag[real + bin * frames + t] = spectrum[2 * bin];
          mag[imaginary + bin * frames + t] = spectrum[2 * bin + 1];
        }
      }
    }
    return [mag, [1, 2 * channels, bins, frames]];
  }

  /** The stems `[1, S, C, N]` of spectra `[1, S, 2C, F, T]` and waveforms `[1, S, C, N]`, which become them. */
  stems(spectra, waveforms, [, stems, channels, samples]) {
    const { size, hop, lead, fft, window } = this;
    const [bins, frames] = [size / 2, Math.ceil(samples / hop)];
    const spectrum = fft.createComplexArray();
    const frame = fft.createComplexArray();
    const scale = Math.sqrt(size) / ENVELOPE;
    for (let row = 0; row < stems * channels; row++) {
      const sum = new Float64Array((frames + OVERLAPPING - 1) * hop);
      const [real, imaginary] = [2 * row, 2 * row + 1].map(
        (part) => part * bins * frames,
      );
      for (let t = 0; t < frames; t++) {
        for (let bin = 0; bin < bins; bin++) {
          spectrum[2 * bin] = spectra[real + bin * frames + t];
          spectrum[2 * bin + 1] = spectra[imaginary + bin * frames + t];
        }
        spectrum[1] = spectrum[size] = spectrum[size + 1] = 0;
        fft.completeSpectrum(spectrum);
        fft.inverseTransform(frame, spectrum);
        for (let n = 0; n < size; n++)
          sum[t * hop + n] += frame[2 * n] * window[n] * scale;
      }
      for (let n = 0; n < samples; n++)
        waveforms[row * samples + n] += sum[lead + n];
    }
    return waveforms;
  }
}

/** A sample of audio that goes on as its mirror image at both ends. */
function reflected(audio, n) {
  const last = audio.length - 1;
  return audio[n < 0 ? -n : n > last ? 2 * last - n : n];
}
