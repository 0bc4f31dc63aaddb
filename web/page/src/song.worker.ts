// One song at a time: its samples for the engine, its tracks on disk, and files made of them.

import { makeZip } from "client-zip";
import * as comlink from "comlink";
import { type WavFormat, WavPieces, interleave, readWav, resample, toChannels } from "onnx-demucs-separator";
import { Folder, type Store } from "./files.js";
import { Peaks } from "./peaks.js";
import { Problem } from "./problems.js";

const BLOCK = 1 << 16;
const SHORTEST = 0.1;

export interface Audio {
  channels: Float32Array[];
  sampleRate: number;
}

/** What a model takes. */
export interface Target {
  sampleRate: number;
  channels: number;
  stems: string[];
}

/** A song that has begun. */
export interface Begun {
  mix: Float32Array[];
  /** Whether its tracks go to disk, and not to memory. */
  onDisk: boolean;
}

interface Track {
  store: Store;
  peaks: Peaks;
}

class Song {
  #folder: Folder | undefined;
  #tracks: Track[] = [];
  #downloads = new Map<string, Promise<Blob>>();
  #target: Target = { sampleRate: 0, channels: 0, stems: [] };
  #frames = 0;

  /** A wav file of integers or floats; null of anything else. */
  async parse(file: File): Promise<Audio | null> {
    const audio = readWav(await file.arrayBuffer());
    return audio && moved(audio, audio.channels);
  }

  /** The mix as a model takes it, which becomes the first track. */
  async begin(audio: Audio, target: Target): Promise<Begun> {
    await this.end();
    if (!audio.channels[0]?.length) throw new Problem("This file holds no audio: it is zero seconds long.");
    if (audio.channels[0].length < SHORTEST * audio.sampleRate)
      throw new Problem("This song is too short: it lasts less than a tenth of a second.");
    if (!audio.channels.every((channel) => channel.every(Number.isFinite)))
      throw new Problem("This file has samples that are not finite numbers; export it again.");
    const { channels, sampleRate: rate } = audio;
    // An hour is more than a gigabyte: it is not copied for nothing.
    const fitting = rate === target.sampleRate ? channels : resample(channels, rate, target.sampleRate);
    const mix = toChannels(fitting, target.channels);
    this.#target = target;
    this.#frames = mix[0]!.length;
    this.#folder = await Folder.create();
    for (let i = 0; i <= target.stems.length; i++)
      this.#tracks.push({ store: await this.#folder.store(`${i}.f32`), peaks: new Peaks(this.#frames) });
    for (let start = 0; start < this.#frames; start += BLOCK)
      this.#append(
        0,
        mix.map((channel) => channel.subarray(start, start + BLOCK)),
      );
    return moved({ mix, onDisk: this.#folder.onDisk }, mix);
  }

  /** Samples of every stem, `[stem][channel]`, right after those before them. */
  append(stems: Float32Array[][]): void {
    stems.forEach((channels, i) => this.#append(i + 1, channels));
  }

  /** The waveform of each track. */
  waveforms(): Float32Array[] {
    return this.#tracks.map(({ peaks }) => peaks.spans);
  }

  /** Samples of a track by channel. */
  async read(track: number, start: number, frames: number): Promise<Float32Array[]> {
    const samples = await this.#samples(track, start, Math.min(frames, this.#frames - start));
    const { channels } = this.#target;
    const apart = Array.from({ length: channels }, (_, c) => {
      const channel = new Float32Array(samples.length / channels);
      for (let i = 0; i < channel.length; i++) channel[i] = samples[i * channels + c]!;
      return channel;
    });
    return moved(apart, apart);
  }

  /** A track as a wav file. */
  download(track: number, format: WavFormat): Promise<Blob> {
    return this.#made(`${track}.${format}.wav`, () => this.#wav(track, format));
  }

  /** All stems as wav files in a zip. */
  downloadAll(format: WavFormat, names: string[]): Promise<Blob> {
    const files = () =>
      names.map((name, i) => ({
        name,
        input: streamOf(this.#wav(i + 1, format)),
        size: BigInt(this.#pieces(format).size),
      }));
    return this.#made(
      `stems.${format}.zip`,
      () => makeZip(files()) as ReadableStream<Uint8Array<ArrayBuffer>>,
    );
  }

  /** Removes everything of the song. */
  async end(): Promise<void> {
    for (const { store } of this.#tracks) store.close();
    this.#tracks = [];
    this.#downloads.clear();
    await this.#folder?.remove();
    this.#folder = undefined;
  }

  #append(track: number, channels: readonly Float32Array[]): void {
    const { store, peaks } = this.#tracks[track]!;
    const samples = interleave(channels);
    peaks.add(samples, channels.length);
    store.append(new Uint8Array(samples.buffer));
  }

  async #samples(track: number, start: number, frames: number): Promise<Float32Array> {
    const frame = 4 * this.#target.channels;
    const bytes = await this.#tracks[track]!.store.read(start * frame, frames * frame);
    return new Float32Array(bytes.buffer);
  }

  #pieces(format: WavFormat): WavPieces {
    return new WavPieces(format, this.#target.channels, this.#frames, this.#target.sampleRate);
  }

  /** As onnx-demucs separate writes it: the whole stem is scaled where it would clip. */
  async *#wav(track: number, format: WavFormat): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    const pieces = this.#pieces(format);
    yield pieces.head;
    const loudest = Math.max(1, Math.fround(Math.fround(1.01) * this.#tracks[track]!.peaks.peak));
    for (let start = 0; start < this.#frames; start += BLOCK) {
      const samples = await this.#samples(track, start, Math.min(BLOCK, this.#frames - start));
      yield pieces.body(loudest > 1 ? samples.map((sample) => sample / loudest) : samples);
    }
    yield pieces.tail;
  }

  /** A file that is made once, whole or not at all. */
  #made(name: string, parts: () => AsyncIterable<Uint8Array<ArrayBuffer>>): Promise<Blob> {
    const before = this.#downloads.get(name);
    if (before) return before;
    const made = this.#write(name, parts());
    this.#downloads.set(name, made);
    made.catch(() => this.#downloads.delete(name));
    return made;
  }

  async #write(name: string, parts: AsyncIterable<Uint8Array<ArrayBuffer>>): Promise<Blob> {
    const store = await this.#folder!.store(name);
    try {
      for await (const part of parts) store.append(part);
    } catch (error) {
      store.close();
      await this.#folder?.drop(name);
      throw error;
    }
    return store.blob();
  }
}

function streamOf(parts: AsyncGenerator<Uint8Array<ArrayBuffer>>): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    async pull(controller) {
      const { value, done } = await parts.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  });
}

function moved<T>(value: T, channels: readonly Float32Array[]): T {
  return comlink.transfer(
    value,
    channels.map((channel) => channel.buffer as ArrayBuffer),
  );
}

export type SongWorker = Song;
comlink.expose(new Song());
