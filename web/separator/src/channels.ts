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
