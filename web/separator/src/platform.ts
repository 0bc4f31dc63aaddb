// What the place that the engine runs in is, as far as it matters.

const MOST_THREADS = 8;

/** True on iPhones and iPads, where threads and WebGPU run out of memory; iPads say that they are Macs. */
export function isIos(): boolean {
  const place = globalThis.navigator;
  if (!place) return false;
  return (
    /iPhone|iPad|iPod/.test(place.userAgent ?? "") ||
    (place.platform === "MacIntel" && place.maxTouchPoints > 1)
  );
}

/** True where WebAssembly may have threads: on a page that is cross-origin isolated, and not in Node. */
export function mayHaveThreads(): boolean {
  return globalThis.crossOriginIsolated === true;
}

/** The cores less one, from 1 to 8; 1 on iOS, and where there can be no threads. */
export function defaultThreads(): number {
  if (isIos() || !mayHaveThreads()) return 1;
  const cores = globalThis.navigator?.hardwareConcurrency ?? 1;
  return Math.max(1, Math.min(MOST_THREADS, cores - 1));
}
