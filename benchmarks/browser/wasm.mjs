// Time and heap of a file in onnxruntime-web's WebAssembly, under Node.
//
//     npm install --prefix build/browser onnxruntime-web@1.30.0
//     node benchmarks/browser/wasm.mjs MODEL.onnx [RUNS [THREADS]]
//
// Weights in MODEL.onnx.data are given as externalData. Prints one line of JSON: seconds to load and of each run,
// and MB of WebAssembly's memory, which only grows, after loading and after the runs.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const [model, runs = "2", threads = "1"] = process.argv.slice(2);

const memories = [];
WebAssembly.Memory = new Proxy(WebAssembly.Memory, {
  construct(target, options) {
    const memory = new target(...options);
    memories.push(memory);
    return memory;
  },
});
const heap = () => Math.round(memories.reduce((sum, memory) => sum + memory.buffer.byteLength, 0) / 1e6);
const seconds = async (work) => {
  const began = performance.now();
  await work();
  return Number(((performance.now() - began) / 1e3).toFixed(2));
};

const installed = createRequire(new URL("../../build/browser/", import.meta.url));
const ort = await import(pathToFileURL(join(dirname(installed.resolve("onnxruntime-web")), "ort.wasm.min.mjs")));
ort.env.wasm.numThreads = Number(threads);
ort.env.logLevel = "error";

const weights = `${model}.data`;
const externalData = existsSync(weights) ? [{ path: basename(weights), data: new Uint8Array(readFileSync(weights)) }] : [];
let session;
const load = await seconds(async () => {
  session = await ort.InferenceSession.create(new Uint8Array(readFileSync(model)), { externalData });
});
const loaded = heap();

let state = 1;
const noise = () => (state = (state * 16807) % 2147483647) / 2147483647 - 0.5;
const feeds = Object.fromEntries(
  session.inputMetadata.map(({ name, shape }) => {
    const size = shape.reduce((product, each) => product * each, 1);
    return [name, new ort.Tensor("float32", Float32Array.from({ length: size }, noise), shape)];
  }),
);
const times = [];
for (let run = 0; run < Number(runs); run++) times.push(await seconds(() => session.run(feeds)));
console.log(JSON.stringify({ model: basename(model), threads: Number(threads), load, loaded, times, heap: heap() }));
process.exit(0);
