#!/usr/bin/env node
// Separates a song with a file that onnx-demucs-compile wrote: MODEL.onnx SONG.wav OUTDIR [--overlap 0.25].
//
// The arithmetic is that of `onnx-demucs separate --float32`: the track is normalised, cut into segments that
// overlap, and what the model makes of them is added up under triangular weights.

import * as fs from "node:fs";
import { join, parse } from "node:path";
import { parseArgs } from "node:util";
import ort from "onnxruntime-node";
import protobuf from "protobufjs/minimal.js";
import wavefile from "wavefile";

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;
const METADATA_PROPS = 14; // of ONNX's ModelProto

class Failure extends Error {}
class UsageError extends Error {}

// onnxruntime-node does not tell a model's metadata: it is read from the file, past the graph.
function metadataOf(path) {
  const file = fs.openSync(path, "r");
  try {
    const metadata = {};
    const head = Buffer.alloc(20);
    for (let position = 0; position < fs.fstatSync(file).size; ) {
      fs.readSync(file, head, 0, head.length, position);
      const reader = protobuf.Reader.create(head);
      const tag = reader.uint32();
      if ((tag & 7) !== 2) {
        reader.skipType(tag & 7);
        position += reader.pos;
        continue;
      }
      const length = reader.uint32();
      if (tag >>> 3 === METADATA_PROPS) {
        const entry = Buffer.alloc(length);
        fs.readSync(file, entry, 0, length, position + reader.pos);
        const fields = protobuf.Reader.create(entry);
        const pair = {};
        while (fields.pos < fields.len) pair[fields.uint32() >>> 3] = fields.string();
        metadata[pair[1]] = pair[2] ?? "";
      }
      position += reader.pos + length;
    }
    return metadata;
  } finally {
    fs.closeSync(file);
  }
}

// A model, and what its metadata says of it.
async function openModel(path) {
  if (!fs.existsSync(path)) throw new Failure(`${path}: no such file`);
  // Memory patterns hold every tensor's peak for the whole life of the session.
  const session = await ort.InferenceSession.create(path, { enableMemPattern: false, logSeverityLevel: 4 });
  const metadata = metadataOf(path);
  const property = (key) => {
    if (!(key in metadata)) throw new Failure(`the model's metadata lacks ${key}; compile it again`);
    return metadata[key];
  };
  const number = (key) => {
    const value = Number.parseInt(property(key), 10);
    if (!(value > 0)) throw new Failure(`the model's metadata tells no ${key}; compile a separator`);
    return value;
  };
  if (property("onnx_demucs.interface") === "surrounded")
    throw new Failure("the model needs the song around each segment; compile it with --length segment");
  if (session.inputNames.length !== 1 || property("onnx_demucs.interface") !== "waveform")
    throw new Failure("the model leaves its STFT to the client; compile it with --interface waveform");
  if ("onnx_demucs.fade_step" in metadata)
    throw new Failure("the segments of this model fade into each other; use onnx-demucs separate");
  const batch = property("onnx_demucs.batch");
  if (batch !== "1" && batch !== "dynamic")
    throw new Failure(`the model takes ${batch} segments in a run; compile it with --batch 1`);
  const model = {
    session,
    name: property("onnx_demucs.model"),
    sources: JSON.parse(property("sources")),
    sampleRate: number("sample_rate"),
    channels: number("audio_channels"),
    segment: number("onnx_demucs.segment"),
    // Set where one run takes a whole track.
    trackOverlap: property("onnx_demucs.overlap") === "" ? null : Number(property("onnx_demucs.overlap")),
  };
  // How many times each stem of a normalised track lacks the track's mean.
  model.means = model.sources.map(() => 1);
  const method = property("onnx_demucs.other_method");
  if (method !== "")
    model.means[1] = method === "add" ? JSON.parse(property("onnx_demucs.model_sources")).length - 1 : 0;
  return model;
}

// The stems of [channels, samples]: of one segment, or of a track where the model takes tracks.
async function run({ session, sources, channels, trackOverlap }, mix) {
  const shape = [channels, mix.length / channels];
  const tensor = new ort.Tensor("float32", mix, trackOverlap === null ? [1, ...shape] : shape);
  const results = await session.run({ [session.inputNames[0]]: tensor });
  const { data } = results[session.outputNames[0]];
  if (data.length !== sources.length * mix.length)
    throw new Failure("the model's output is not what its metadata describes; compile it again");
  return data;
}

// Interleaved samples from -1 to 1.
function decode(path) {
  try {
    const wav = new wavefile.WaveFile(fs.readFileSync(path));
    const { audioFormat, subformat, bitsPerSample, numChannels, sampleRate } = wav.fmt;
    const format = audioFormat === EXTENSIBLE ? subformat[0] : audioFormat;
    if (format !== PCM && format !== FLOAT) throw new Error(`format ${format}`);
    let samples = wav.getSamples(true, Float64Array);
    if (format === PCM) {
      const scale = 2 ** (bitsPerSample - 1);
      samples = samples.map(bitsPerSample === 8 ? (value) => value / scale - 1 : (value) => value / scale);
    } else if (bitsPerSample === 32 && audioFormat === EXTENSIBLE) {
      samples = new Float32Array(Int32Array.from(samples).buffer); // wavefile takes these for integers
    }
    return { samples, channels: numChannels, sampleRate };
  } catch (error) {
    throw new Failure(`${path}: cannot be read as a wav file (${error.message})`);
  }
}

// The song as [channels, samples], one channel after the other.
function readSong(path, model) {
  if (!fs.existsSync(path)) throw new Failure(`${path}: no such file`);
  const { samples, channels, sampleRate } = decode(path);
  if (sampleRate !== model.sampleRate)
    throw new Failure(`${path}: has ${sampleRate} Hz, and the model takes ${model.sampleRate} Hz; resample it first`);
  if (channels > 1 && channels < model.channels)
    throw new Failure(`${path}: has ${channels} channels, and the model takes ${model.channels}`);
  if (samples.length === 0) throw new Failure(`${path}: the file holds no audio (0 seconds)`);
  if (!samples.every(Number.isFinite)) throw new Failure(`${path}: has samples that are not finite numbers`);
  const length = samples.length / channels;
  const song = new Float32Array(model.channels * length);
  for (let i = 0; i < length; i++) {
    const frame = samples.subarray(i * channels, (i + 1) * channels);
    for (let c = 0; c < model.channels; c++)
      song[c * length + i] =
        model.channels === 1 ? frame.reduce((sum, value) => sum + value) / channels : frame[channels === 1 ? 0 : c];
  }
  return song;
}

// Mean and unbiased deviation of the mono mix-down. A silent track can still be divided by the deviation.
function statistics(track, channels) {
  const length = track.length / channels;
  const mono = new Float64Array(length);
  track.forEach((sample, i) => (mono[i % length] += sample / channels));
  const mean = mono.reduce((sum, sample) => sum + sample, 0) / length;
  const squares = mono.reduce((sum, sample) => sum + (sample - mean) ** 2, 0);
  return { mean, scale: Math.sqrt(length > 1 ? squares / (length - 1) : 0) + 1e-8 };
}

async function separate(model, track, overlap) {
  const { channels, segment: size } = model;
  const stride = Math.floor((1 - overlap) * size);
  if (stride === 0) throw new UsageError("such an overlap leaves no step between segments");
  const length = track.length / channels;
  const { mean, scale } = statistics(track, channels);
  const weight = Float32Array.from({ length: size }, (_, i) => Math.min(i + 1, size - i) / Math.ceil(size / 2));

  const sum = new Float32Array(model.sources.length * track.length);
  const weights = new Float32Array(length);
  for (let start = 0; start < length; start += stride) {
    const covered = Math.min(size, length - start);
    const begin = start - Math.floor((size - covered) / 2); // a window past the end is centred on what is left
    const mix = new Float32Array(channels * size);
    for (let c = 0; c < channels; c++)
      for (let i = Math.max(begin, 0); i < Math.min(begin + size, length); i++)
        mix[c * size + i - begin] = (track[c * length + i] - mean) / scale;
    const estimate = await run(model, mix);
    for (let c = 0; c < model.sources.length * channels; c++)
      for (let i = 0; i < covered; i++)
        sum[c * length + start + i] += weight[i] * estimate[c * size + start + i - begin];
    for (let i = 0; i < covered; i++) weights[start + i] += weight[i];
  }
  return sum.map(
    (value, i) => (value / weights[i % length]) * scale + mean * model.means[Math.floor(i / track.length)],
  );
}

// One stem [channels, samples] as 32-bit float, rescaled where it would clip.
function encode(stem, model) {
  const peak = stem.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
  if (!Number.isFinite(peak)) throw new Failure("the model made samples that are not finite numbers");
  const rescaled = stem.map((sample) => sample / Math.max(1.01 * peak, 1));
  const length = stem.length / model.channels;
  const planes = Array.from({ length: model.channels }, (_, c) => rescaled.subarray(c * length, (c + 1) * length));
  const wav = new wavefile.WaveFile();
  wav.fromScratch(model.channels, model.sampleRate, "32f", planes);
  return wav.toBuffer();
}

// A name that any file system takes as one component of a path.
const safeName = (name) => name.replace(/[^\p{L}\p{N}_.=+ -]/gu, "_").replace(/^\.+/, "") || "_";

// Nothing is put in place before every stem is complete.
function writeStems(stems, model, song, folder, scratch) {
  const length = stems.length / model.sources.length;
  const files = model.sources.map((source) => `${safeName(source)}.wav`);
  files.forEach((file, i) => {
    const target = join(folder, file);
    if (fs.existsSync(target) && fs.realpathSync(target) === fs.realpathSync(song))
      throw new Failure(`${song}: a stem would overwrite the song itself`);
    fs.writeFileSync(join(scratch, file), encode(stems.subarray(i * length, (i + 1) * length), model));
  });
  for (const file of files) {
    fs.renameSync(join(scratch, file), join(folder, file));
    console.log(join(folder, file));
  }
}

function parseArguments() {
  const usage = "usage: separate MODEL.onnx SONG.wav OUTDIR [--overlap 0.25]";
  try {
    const { values, positionals } = parseArgs({ options: { overlap: { type: "string" } }, allowPositionals: true });
    if (positionals.length !== 3) throw new Error(usage);
    const overlap = values.overlap?.trim() ? Number(values.overlap) : values.overlap;
    if (overlap !== undefined && !(typeof overlap === "number" && overlap >= 0 && overlap < 1))
      throw new Error("--overlap takes a number, at least 0 and below 1");
    return { positionals, overlap };
  } catch (error) {
    throw new UsageError(error.message);
  }
}

async function main() {
  const { positionals, overlap } = parseArguments();
  const [path, song, outDir] = positionals;
  const model = await openModel(path);
  if (model.trackOverlap !== null && (overlap ?? model.trackOverlap) !== model.trackOverlap)
    throw new UsageError("this model takes whole tracks with an overlap built in; leave --overlap out");
  const track = readSong(song, model);
  const folder = join(outDir, safeName(model.name), parse(song).name);
  fs.mkdirSync(folder, { recursive: true });
  const scratch = fs.mkdtempSync(join(folder, ".separate-"));
  try {
    const whole = model.trackOverlap !== null;
    const stems = whole ? await run(model, track) : await separate(model, track, overlap ?? 0.25);
    writeStems(stems, model, song, folder, scratch);
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  console.error(`error: ${error.message.replaceAll("\n", " ")}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
