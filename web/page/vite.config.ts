import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { constants, brotliCompressSync } from "node:zlib";
import { type Plugin, defineConfig } from "vite";

const WORKER = "sw.js";
const PACKAGES = ["client-zip", "comlink", "mediabunny", "onnxruntime-web"];
/** What only a GPU needs is kept when it is fetched. */
const NOT_KEPT = /asyncify|ort\.webgpu|licences/;

/** Tells the service worker the files of the page, and a version that changes with any of them. */
function precached(): Plugin {
  return {
    name: "precached",
    generateBundle: {
      order: "post",
      handler(_, bundle) {
        const names = Object.keys(bundle)
          .filter((name) => name !== WORKER && name !== "index.html")
          .sort();
        const hash = createHash("sha256");
        for (const name of [...names, "index.html"]) {
          const item = bundle[name]!;
          hash.update(name).update(item.type === "chunk" ? item.code : item.source);
        }
        const worker = bundle[WORKER];
        if (worker?.type !== "chunk") throw new Error(`${WORKER} is not built`);
        const files = ["icon.svg", ...names.filter((name) => !NOT_KEPT.test(name))];
        worker.code = worker.code
          .replace(/\b__FILES__\b/g, JSON.stringify(files))
          .replace(/\b__VERSION__\b/g, JSON.stringify(hash.digest("hex").slice(0, 16)));
      },
    },
  };
}

/** The licences of what the page is made with. */
function licences(): Plugin {
  return {
    name: "licences",
    generateBundle() {
      const texts = PACKAGES.map((name) => {
        const folder = `../node_modules/${name}`;
        const { version, license, homepage, repository } = JSON.parse(
          readFileSync(`${folder}/package.json`, "utf8"),
        );
        const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
        return `${name} ${version}: ${license}, ${homepage ?? repository.url}\n\n${file ? readFileSync(`${folder}/${file}`, "utf8") : ""}`;
      });
      this.emitFile({ type: "asset", fileName: "licences.txt", source: texts.join("\n\n") });
    },
  };
}

/** Puts a compressed file beside every wasm: they are four fifths smaller so. */
function compressed(): Plugin {
  return {
    name: "compressed",
    generateBundle: {
      order: "post",
      handler(_, bundle) {
        for (const [name, item] of Object.entries(bundle))
          if (item.type === "asset" && name.endsWith(".wasm")) {
            const source = Buffer.from(item.source);
            const params = {
              [constants.BROTLI_PARAM_QUALITY]: 9,
              [constants.BROTLI_PARAM_LGWIN]: 24,
              [constants.BROTLI_PARAM_SIZE_HINT]: source.length,
            };
            this.emitFile({
              type: "asset",
              fileName: `${name}.br`,
              source: brotliCompressSync(source, { params }),
            });
          }
      },
    },
  };
}

export default defineConfig({
  base: "./",
  worker: { format: "es" },
  plugins: [licences(), precached(), compressed()],
  build: {
    outDir: "../../onnx_demucs_compiler/web/page",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 2000,
    rollupOptions: {
      input: { index: "index.html", sw: "src/sw.ts" },
      output: { entryFileNames: (chunk) => (chunk.name === "sw" ? WORKER : "assets/[name]-[hash].js") },
    },
  },
});
