// A graph in onnxruntime-web's WebAssembly, under Node, as an entrant of benchmarks/entrants.py.
//
//     npm install --prefix build/browser onnxruntime-web@1.30.0
//     node benchmarks/browser/wasm.mjs MODEL.onnx MIX.npy STEMS.npy THREADS
//
// Weights in MODEL.onnx.data are given as externalData. Memory is WebAssembly's own, which only grows. THREADS is
// 1: outside a browser onnxruntime-web 1.30.0 fetches the program of further threads from a file: URL, and fails.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [model, mixPath, stemsPath, threads] = process.argv.slice(2);

const memories = [];
WebAssembly.Memory = new Proxy(WebAssembly.Memory, {
  construct(target, options) {
    const memory = new target(...options);
    memories.push(memory);
    return memory;
  },
});
const heap = () => Math.round(memories.reduce((sum, memory) => sum + memory.buffer.byteLength, 0) / 1e6);

const installed = createRequire(new URL("../../build/browser/", import.meta.url));
const ort = await import(pathToFileURL(join(dirname(installed.resolve("onnxruntime-web")), "ort.wasm.min.mjs")));
ort.env.wasm.numThreads = Number(threads);
ort.env.logLevel = "error";

const weights = `${model}.data`;
const externalData = existsSync(weights) ? [{ path: basename(weights), data: new Uint8Array(readFileSync(weights)) }] : [];
const session = await ort.InferenceSession.create(new Uint8Array(readFileSync(model)), { externalData });

const [{ name, shape }] = session.inputMetadata;
const mix = new ort.Tensor("float32", samplesOf(readFileSync(mixPath)), shape);
console.log("opened");

let written = false;
for await (const _ of createInterface({ input: process.stdin })) {
  const [began, spent] = [performance.now(), process.cpuUsage()];
  const { stems } = await session.run({ [name]: mix });
  const used = process.cpuUsage(spent);
  console.log((performance.now() - began) / 1e3, (used.user + used.system) / 1e6, heap());
  if (!written) writeFileSync(stemsPath, npy(stems));
  written = true;
}
process.exit(0);

// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, version 1.0.
function samplesOf(file) {
  const start = 10 + file.readUInt16LE(8);
  return new Float32Array(file.buffer.slice(file.byteOffset + start, file.byteOffset + file.length));
}

function npy({ data, dims }) {
  const told = `{'descr': '<f4', 'fortran_order': False, 'shape': (${dims.join(", ")},), }`;
  const header = `${told.padEnd(64 * Math.ceil((told.length + 11) / 64) - 11)}\n`;
  const head = Buffer.alloc(10);
  head.write("\x93NUMPY\x01\x00", "latin1");
  head.writeUInt16LE(header.length, 8);
  return Buffer.concat([head, Buffer.from(header, "latin1"), Buffer.from(data.buffer, data.byteOffset, data.byteLength)]);
}
