/** Audio with another number of channels, as demucs does it: the mean, copies of one, or the first ones. */
export function toChannels(audio: readonly Float32Array[], count: number): Float32Array[] {
  const [first] = audio;
  if (!first) return [];
  if (count === 1 && audio.length > 1)
    return [
      first.map((_, i) => audio.reduce((sum, channel) => Math.fround(sum + channel[i]!), 0) / audio.length),
    ];
  if (audio.length === 1) return Array.from({ length: count }, () => first.slice());
  return audio.slice(0, count);
}

/** Samples of channels of one length in turn, as files hold them. */
export function interleave(channels: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  const count = channels.length;
  const samples = new Float32Array(count * (channels[0]?.length ?? 0));
  channels.forEach((channel, c) => {
    for (let i = 0; i < channel.length; i++) samples[i * count + c] = channel[i]!;
  });
  return samples;
}
