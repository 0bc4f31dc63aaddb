import { copyFileSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

import { type Plugin, defineConfig } from "vite";

const ORT = dirname(createRequire(import.meta.url).resolve("onnxruntime-web/ort-wasm-simd-threaded.wasm"));
const WASM = ["", ".asyncify"].flatMap((build) =>
  ["mjs", "wasm"].map((kind) => `ort-wasm-simd-threaded${build}.${kind}`),
);

/** Puts what is loaded at run time beside the modules; see src/assets.ts. */
function assets(): Plugin {
  return {
    name: "files-beside",
    renderChunk: (code) => code.replace(/\bfileBeside\(("[^"]+")\)/g, "new URL($1, import.meta.url)"),
    // The copyright notices of onnxruntime-web, which bundling takes off its modules.
    generateBundle(_, bundle) {
      for (const chunk of Object.values(bundle))
        if (chunk.type === "chunk" && chunk.name.startsWith("ort.")) {
          const [notice] = /^\/\*!.*?\*\//s.exec(readFileSync(join(ORT, `${chunk.name}.mjs`), "utf-8"))!;
          chunk.code = `${notice}\n${chunk.code}`;
        }
    },
    writeBundle({ dir }) {
      for (const file of WASM) copyFileSync(join(ORT, file), join(dir!, file));
      copyFileSync("../../LICENSE", join(dir!, "LICENSE"));
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
