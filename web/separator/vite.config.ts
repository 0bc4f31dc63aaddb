import { copyFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

import { type Plugin, defineConfig } from "vite";

const ORT = dirname(createRequire(import.meta.url).resolve("onnxruntime-web/ort-wasm-simd-threaded.wasm"));
const WASM = ["", ".asyncify"].flatMap((build) => ["mjs", "wasm"].map((kind) => `ort-wasm-simd-threaded${build}.${kind}`));

/** Puts what is loaded at run time beside the modules; see src/assets.ts. */
function assets(): Plugin {
  return {
    name: "files-beside",
    renderChunk: (code) => code.replace(/\bfileBeside\(("[^"]+")\)/g, "new URL($1, import.meta.url)"),
    writeBundle({ dir }) {
      for (const file of WASM) copyFileSync(join(ORT, file), join(dir!, file));
    },
  };
}

export default defineConfig({
  plugins: [assets()],
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "import", "default"] },
  build: {
    target: "es2022",
    minify: false,
    lib: { entry: ["index", "worker"].map((name) => `src/${name}.ts`), formats: ["es"] },
    rollupOptions: { output: { chunkFileNames: "[name].js" } },
  },
});
