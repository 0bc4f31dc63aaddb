// Separates a song in Node with the built package: MODEL.onnx SONG.wav OUTDIR [THREADS].

import { readFileSync, writeFileSync, existsSync } from "node:fs";
import { join } from "node:path";

import { load, readWav, resample, toChannels, writeWav } from "../dist/index.js";

const [model, song, out, threads = "1"] = process.argv.slice(2);
const bytes = (path) => new Uint8Array(readFileSync(path)).buffer;
const options = existsSync(`${model}.data`) ? { data: bytes(`${model}.data`) } : {};
try {
  const separator = await load(bytes(model), { ...options, threads: Number(threads) });
  const { channels, sampleRate } = readWav(bytes(song));
  const facts = separator.model;
  const mix = resample(toChannels(channels, facts.channels), sampleRate, facts.sampleRate);
  const progress = [];
  const stems = await separator.separate(mix, { onProgress: (done, total) => progress.push([done, total]) });
  for (const [name, stem] of Object.entries(stems))
    writeFileSync(join(out, `${name}.wav`), writeWav(stem, facts.sampleRate, "float32"));
  const { provider, threads: used, notes } = separator;
  console.log(JSON.stringify({ model: facts, provider, threads: used, notes, progress }));
  await separator.release();
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
}
