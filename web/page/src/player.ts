// All tracks in one AudioContext, so that they stay in step whatever is muted or sought.

/** Samples of a track by channel, from a frame on. */
export type Read = (track: number, start: number, frames: number) => Promise<Float32Array[]>;

const CHUNK = 4; // seconds
const FADE = 0.01; // of a gain, against clicks
const LEAD = 0.08;

interface Strip {
  muted: boolean;
  soloed: boolean;
  volume: number;
  gain: GainNode | undefined;
}

export class Player {
  readonly #strips: Strip[];
  #context: AudioContext | undefined;
  #generation = 0;
  #sources: AudioBufferSourceNode[] = [];
  /** The frame that is heard at the context's time `#began`, or that comes next while nothing plays. */
  #from = 0;
  #began = Infinity;

  playing = false;

  constructor(
    private readonly frames: number,
    private readonly rate: number,
    tracks: number,
    private readonly read: Read,
    /** Told when it starts, stops or moves by itself, or cannot go on. */
    private readonly onChange: (error?: unknown) => void,
  ) {
    this.#strips = Array.from({ length: tracks }, () => ({
      muted: false,
      soloed: false,
      volume: 1,
      gain: undefined,
    }));
  }

  /** In seconds. */
  get position(): number {
    const passed = this.#context && this.playing ? Math.max(0, this.#context.currentTime - this.#began) : 0;
    return Math.min(this.#from / this.rate + passed, this.duration);
  }

  get duration(): number {
    return this.frames / this.rate;
  }

  play(): void {
    if (this.playing) return;
    if (this.#from >= this.frames) this.#from = 0;
    this.playing = true;
    this.#begin();
    this.onChange();
  }

  pause(): void {
    if (!this.playing) return;
    this.#from = Math.round(this.position * this.rate);
    this.playing = false;
    this.#silence();
    this.onChange();
  }

  seek(seconds: number): void {
    this.#from = Math.round(Math.max(0, Math.min(seconds, this.duration)) * this.rate);
    this.#silence();
    if (this.playing) this.#begin();
    this.onChange();
  }

  set(track: number, changes: Partial<Pick<Strip, "muted" | "soloed" | "volume">>): void {
    Object.assign(this.#strips[track]!, changes);
    this.#mix();
  }

  strip(track: number): Readonly<Strip> {
    return this.#strips[track]!;
  }

  /** True of a track that would be heard. */
  audible(track: number): boolean {
    return this.#level(this.#strips[track]!) > 0;
  }

  async close(): Promise<void> {
    this.playing = false;
    this.#silence();
    await this.#context?.close();
    this.#context = undefined;
  }

  #level(strip: Strip): number {
    const solo = this.#strips.some(({ soloed }) => soloed);
    return (solo ? strip.soloed : !strip.muted) ? strip.volume : 0;
  }

  #mix(): void {
    const now = this.#context?.currentTime ?? 0;
    for (const strip of this.#strips) strip.gain?.gain.setTargetAtTime(this.#level(strip), now, FADE);
  }

  #begin(): void {
    const generation = ++this.#generation;
    this.#began = Infinity;
    this.#feed(generation).catch((error: unknown) => {
      if (generation !== this.#generation) return;
      this.playing = false;
      this.#silence();
      this.onChange(error);
    });
  }

  /** Schedules chunk after chunk, one ahead of the one that is heard. */
  async #feed(generation: number): Promise<void> {
    const context = (this.#context ??= this.#open());
    await context.resume();
    const size = CHUNK * this.rate;
    const from = this.#from;
    const ended: Promise<void>[] = [];
    for (let start = from; start < this.frames; start += size) {
      const parts = await Promise.all(this.#strips.map((_, track) => this.read(track, start, size)));
      if (generation !== this.#generation) return;
      const due = this.#began + (start - from) / this.rate;
      // At the start, or where the disk was late: everything after moves by as much.
      if (!(due > context.currentTime)) this.#began = context.currentTime + LEAD - (start - from) / this.rate;
      if (start === from) this.#began = context.currentTime + LEAD;
      ended.push(this.#schedule(context, parts, this.#began + (start - from) / this.rate));
      await ended.at(-2);
      if (generation !== this.#generation) return;
    }
    await ended.at(-1);
    if (generation !== this.#generation) return;
    this.playing = false;
    this.#from = this.frames;
    this.onChange();
  }

  /** Starts a chunk of every track at one time; resolves when it has been heard. */
  #schedule(context: AudioContext, parts: Float32Array[][], when: number): Promise<void> {
    const sources = parts.map((channels, track) => {
      const buffer = new AudioBuffer({
        length: channels[0]!.length,
        numberOfChannels: channels.length,
        sampleRate: this.rate,
      });
      channels.forEach((channel, c) => buffer.copyToChannel(channel as Float32Array<ArrayBuffer>, c));
      const source = new AudioBufferSourceNode(context, { buffer });
      source.connect(this.#strips[track]!.gain!);
      source.start(when);
      return source;
    });
    this.#sources.push(...sources);
    return new Promise((resolve) => {
      sources[0]!.onended = () => {
        this.#sources = this.#sources.filter((source) => !sources.includes(source));
        resolve();
      };
    });
  }

  #open(): AudioContext {
    const context = contextAt(this.rate);
    for (const strip of this.#strips) {
      strip.gain = new GainNode(context, { gain: this.#level(strip) });
      strip.gain.connect(context.destination);
    }
    return context;
  }

  #silence(): void {
    this.#generation++;
    for (const source of this.#sources) {
      source.onended = null;
      source.stop();
    }
    this.#sources = [];
  }
}

/** At the songs' rate, so that nothing is resampled and chunks join without a seam. */
function contextAt(sampleRate: number): AudioContext {
  try {
    return new AudioContext({ sampleRate });
  } catch {
    return new AudioContext();
  }
}
