// A graph in onnxruntime-web's WebAssembly, in a worker of the page that chromium.mjs opens.
//
// It is told `{ graph, data?, feeds, threads, core?, profile? }` once, and then `{ keep? }` for each run, or
// `{ ended: true }` for what was profiled; `core` is the size of the FFT that a graph with that interface leaves to the
// host. Memory is WebAssembly's own, which only grows.
import * as ort from "/ort/ort.wasm.min.mjs";
import { Core } from "/core.js";

const memories = [];
WebAssembly.Memory = new Proxy(WebAssembly.Memory, {
  construct(target, options) {
    const memory = new target(...options);
    memories.push(memory);
    return memory;
  },
});

/** onnxruntime-web 1.30.0 has no other place for a profile than the console. */
const profile = [];
console.log = (line) => profile.push(line);

let session;
let feeds;
let host;

async function bytesOf(file) {
  return new Uint8Array(await (await fetch(file)).arrayBuffer());
}

async function open({
  graph,
  data,
  feeds: given,
  threads,
  core,
  profile: enableProfiling = false,
}) {
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  const externalData = data
    ? [{ path: data.name, data: await bytesOf(data.file) }]
    : [];
  const began = performance.now();
  session = await ort.InferenceSession.create(await bytesOf(graph), {
    externalData,
    enableProfiling,
  });
  const seconds = (performance.now() - began) / 1e3;
  const tensors = given.map(async ({ name, file, shape }) => {
    const { buffer } = await bytesOf(file);
    return [name, new ort.Tensor("float32", new Float32Array(buffer), shape)];
  });
  feeds = Object.fromEntries(await Promise.all(tensors));
  host = core ? new Core(core) : undefined;
  return { seconds, heap_mb: heap() };
}

async function run({ keep }) {
  const began = performance.now();
  const outputs = await (host ? aroundCore() : alone());
  const seconds = (performance.now() - began) / 1e3;
  if (keep) await fetch(keep, { method: "POST", body: new Blob(outputs) });
  return { seconds, heap_mb: heap() };
}

async function alone() {
  const results = await session.run(feeds);
  return session.outputNames.map((name) => results[name].data);
}

/** The stems of a graph with the interface `core`, whose STFT and inverse are computed here. */
async function aroundCore() {
  const { mix } = feeds;
  const mag = new ort.Tensor("float32", ...host.analysed(mix.data, mix.dims));
  const { spec_out, time_out } = await session.run({ mix, mag });
  return [host.stems(spec_out.data, time_out.data, time_out.dims)];
}

function heap() {
  return Math.round(
    memories.reduce((sum, memory) => sum + memory.buffer.byteLength, 0) / 1e6,
  );
}

function ended() {
  session.endProfiling();
  return { profile: profile.join("\n") };
}

self.onmessage = async ({ data: told }) => {
  try {
    self.postMessage(
      await (told.graph ? open : told.ended ? ended : run)(told),
    );
  } catch (error) {
    self.postMessage({ error: String(error.message ?? error) });
  }
};
