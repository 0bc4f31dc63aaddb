// What browser.mjs runs in a page.

import { WorkerSeparator, load, readWav, writeWav } from "../dist/index.js";

async function mixOf(song) {
  return readWav(await (await fetch(song)).arrayBuffer()).channels;
}

async function keepStems(stems, rate) {
  for (const [name, channels] of Object.entries(stems)) {
    const file = new File([writeWav(channels, rate)], name);
    const url = await new Promise((resolve) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.readAsDataURL(file);
    });
    await globalThis.keep(`${name}.wav`, url.slice(url.indexOf(",") + 1));
  }
}

function facts({ model, provider, threads, notes }) {
  return { model, provider, threads, notes: [...notes], isolated: crossOriginIsolated };
}

const same = (samples) => samples;

function shared(samples) {
  const copy = new Float32Array(new SharedArrayBuffer(samples.byteLength));
  copy.set(samples);
  return copy;
}

async function separated(loading, song, { given = same, transfer = false } = {}) {
  const separator = await loading;
  const progress = [];
  const mix = (await mixOf(song)).map(given);
  const stems = await separator.separate(mix, {
    onProgress: (...counts) => progress.push(counts),
    transfer,
  });
  await keepStems(stems, separator.model.sampleRate);
  const told = { ...facts(separator), progress, left: mix.map((channel) => channel.length) };
  await separator.release();
  return told;
}

/** Chromium's own software adapter, in the guise of a real one; the devices that it gives. */
function disguise() {
  const devices = [];
  Object.defineProperty(GPUAdapterInfo.prototype, "isFallbackAdapter", { get: () => false });
  const { requestDevice } = GPUAdapter.prototype;
  GPUAdapter.prototype.requestDevice = async function (...options) {
    devices.push(await requestDevice.apply(this, options));
    return devices.at(-1);
  };
  return devices;
}

/** The name of an error, and its code if it has one. */
const failure = (promise) =>
  promise.then(
    () => "none",
    (error) => (typeof error.code === "string" ? error.code : error.name),
  );

globalThis.modes = {
  main: (model, song) => separated(load(model, { threads: 2 }), song),
  plain: (model, song) => separated(load(model, { threads: 2, wasmPaths: "../dist" }), song),
  bundled: (model, song) =>
    separated(WorkerSeparator.load(model, { threads: 2 }), song, { given: shared, transfer: true }),
  worker: (model, song) => separated(WorkerSeparator.load(model, { threads: 2 }), song),
  moved: (model, song) => separated(WorkerSeparator.load(model, { threads: 2 }), song, { transfer: true }),
  software: (model, song) => separated(load(model, { threads: 1 }), song),

  async webgpu(model, song) {
    const devices = disguise();
    const mix = await mixOf(song);
    const separator = await load(model, { threads: 1 });
    await keepStems(await separator.separate(mix), separator.model.sampleRate);
    const before = facts(separator);
    const stems = await separator.separate(mix, {
      onProgress: () => devices.forEach((device) => device.destroy()),
    });
    const named = Object.entries(stems).map(([name, channels]) => [`${name}-lost`, channels]);
    await keepStems(Object.fromEntries(named), separator.model.sampleRate);
    return { before, ...facts(separator) };
  },

  async abort(model, song) {
    const mix = await mixOf(song);
    const cache = await caches.open("models");
    const separator = await WorkerSeparator.load(model, { threads: 1, cache });
    const controller = new AbortController();
    let blocks = 0;
    const running = separator.separate(mix, {
      signal: controller.signal,
      onBlock: () => {
        blocks++;
        controller.abort();
      },
    });
    const aborted = await failure(running);
    const refused = await failure(separator.separate(mix.slice(1)));
    const failed = await failure(
      separator.separate(mix, { onBlock: () => Promise.reject(new RangeError("full")) }),
    );
    const stems = await separator.separate(mix);
    await keepStems(stems, separator.model.sampleRate);
    const unloadable = await failure(WorkerSeparator.load(model, { data: new ArrayBuffer(8) }));
    await separator.release();
    const released = await failure(separator.separate(mix));
    return { ...facts(separator), aborted, blocks, refused, failed, unloadable, released };
  },
};
