// From a file to samples at the file's own rate.

import * as comlink from "comlink";
import { Problem } from "./problems.js";
import type { Audio, SongWorker } from "./song.worker.js";

const NOT_AUDIO = "This file cannot be read as audio. Choose a wav, flac, mp3, ogg or m4a file.";

/** Decodes a file: wav files by ourselves, exactly, and others by the browser, at their own rate. */
export async function decode(file: File, songs: comlink.Remote<SongWorker>, rate: number): Promise<Audio> {
  if (file.size === 0) throw new Problem("This file is empty.");
  const content = await file
    .slice(0, 12)
    .text()
    .catch(() => {
      throw new Problem("This file cannot be read any more. Choose it again.");
    });
  const parsed = content.startsWith("RIFF") && content.endsWith("WAVE") ? await songs.parse(file) : null;
  return parsed ?? decodedBy(await contextFor((await rateOf(file)) ?? rate, rate), file);
}

/** A browser resamples to the rate of its context, and not well. */
async function contextFor(fileRate: number, rate: number): Promise<OfflineAudioContext> {
  try {
    return new OfflineAudioContext(1, 1, fileRate);
  } catch {
    return new OfflineAudioContext(1, 1, rate);
  }
}

async function decodedBy(context: OfflineAudioContext, file: File): Promise<Audio> {
  const content = await file.arrayBuffer();
  const buffer = await context.decodeAudioData(content).catch((error: unknown) => {
    throw error instanceof RangeError ? error : new Problem(NOT_AUDIO);
  });
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, c) =>
    buffer.getChannelData(c).slice(),
  );
  return comlink.transfer(
    { channels, sampleRate: buffer.sampleRate },
    channels.map((channel) => channel.buffer),
  );
}

/** The sample rate that a file tells; undefined of one that is not known. */
async function rateOf(file: File): Promise<number | undefined> {
  const { ADTS, BlobSource, FLAC, Input, MP3, MP4, OGG, QTFF, WAVE, WEBM } = await import("mediabunny");
  const input = new Input({
    formats: [MP3, FLAC, OGG, MP4, QTFF, ADTS, WEBM, WAVE],
    source: new BlobSource(file),
  });
  try {
    return (await input.getPrimaryAudioTrack())?.sampleRate;
  } catch {
    return undefined;
  }
}
