/**
 * The URL of a file that lies beside the built module.
 *
 * vite.config.ts writes `new URL(name, import.meta.url)` in its place, the form that bundlers look for: an
 * application that bundles the package gets these files too. Where nothing is built there is none.
 */
declare function fileBeside(name: string): URL;

/** What onnxruntime-web loads at run time, by build. */
export const WASM_FILES = {
  wasm: () => ({
    mjs: fileBeside("./ort-wasm-simd-threaded.mjs").href,
    wasm: fileBeside("./ort-wasm-simd-threaded.wasm").href,
  }),
  webgpu: () => ({
    mjs: fileBeside("./ort-wasm-simd-threaded.asyncify.mjs").href,
    wasm: fileBeside("./ort-wasm-simd-threaded.asyncify.wasm").href,
  }),
};

/** Starts the engine in a thread of its own. */
export function startWorker(): Worker {
  return new Worker(fileBeside("./worker.js"), { type: "module" });
}
