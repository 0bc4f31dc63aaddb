import fixtures from "./fixtures.json";

export { fixtures };

export function bytes(base64: string): ArrayBuffer {
  return new Uint8Array(Buffer.from(base64, "base64")).buffer;
}

export function floats(base64: string): Float32Array {
  return new Float32Array(bytes(base64));
}

/** In dB, of all channels together. */
export function snr(wanted: Float32Array[], found: Float32Array[]): number {
  let [signal, wrong] = [0, 0];
  wanted.forEach((channel, c) =>
    channel.forEach((sample, i) => {
      signal += sample ** 2;
      wrong += (sample - found[c]![i]!) ** 2;
    }),
  );
  return 10 * Math.log10(signal / wrong);
}
