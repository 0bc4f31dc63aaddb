// The mix and the stems of a separated song: waveforms, transport, downloads.

import type * as comlink from "comlink";
import type { WavFormat } from "onnx-demucs-separator";
import { byId, clock, inside, safeName, save } from "./dom.js";
import { Player } from "./player.js";
import type { SongWorker } from "./song.worker.js";
import { draw } from "./waveform.js";

const MIX = "Original";
const STEP = 5; // seconds of an arrow key

const section = byId("result", HTMLElement);
const play = byId("play", HTMLButtonElement);
const position = byId("position", HTMLInputElement);
const time = byId("time", HTMLElement);
const list = byId("tracks", HTMLUListElement);
const format = byId("format", HTMLSelectElement);
const zip = byId("zip", HTMLButtonElement);
const template = byId("track", HTMLTemplateElement);

export interface Separated {
  name: string;
  stems: string[];
  frames: number;
  rate: number;
  waveforms: Float32Array[];
}

/** What is shown of one song, until it is closed. */
export class Result {
  readonly #player: Player;
  readonly #rows: { item: HTMLLIElement; canvas: HTMLCanvasElement; mute: HTMLElement; solo: HTMLElement }[] =
    [];
  readonly #gone = new AbortController();
  /** The loudest sample of all tracks, which are drawn to one scale. */
  readonly #full: number;
  readonly #resized = new ResizeObserver(() => this.#draw());

  constructor(
    private readonly song: Separated,
    private readonly songs: comlink.Remote<SongWorker>,
    private readonly report: (error: unknown) => void,
  ) {
    const tracks = [MIX, ...song.stems];
    this.#full = song.waveforms
      .flatMap((spans) => [...spans])
      .reduce((most, sample) => Math.max(most, Math.abs(sample)), 1e-6);
    const read = (track: number, start: number, frames: number) => songs.read(track, start, frames);
    this.#player = new Player(song.frames, song.rate, tracks.length, read, (error) => this.#changed(error));
    this.#player.set(0, { muted: true });
    list.replaceChildren(...tracks.map((name, track) => this.#row(name, track)));
    const { signal } = this.#gone;
    play.addEventListener("click", () => this.#toggle(), { signal });
    position.max = String(this.#player.duration);
    position.addEventListener("input", () => this.#player.seek(position.valueAsNumber), { signal });
    zip.addEventListener("click", () => void this.#saveAll(), { signal });
    document.addEventListener("keydown", (event) => this.#key(event), { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw(), { signal });
    section.hidden = false;
    this.#resized.observe(list);
    this.#changed();
  }

  close(): void {
    this.#gone.abort();
    this.#resized.disconnect();
    section.hidden = true;
    list.replaceChildren();
    void this.#player.close();
  }

  #row(name: string, track: number): HTMLLIElement {
    const item = inside(template.content, "li", HTMLLIElement).cloneNode(true) as HTMLLIElement;
    const [mute, solo] = [".mute", ".solo"].map((kind) => inside(item, kind, HTMLButtonElement)) as [
      HTMLButtonElement,
      HTMLButtonElement,
    ];
    const canvas = inside(item, "canvas", HTMLCanvasElement);
    const volume = inside(item, ".volume", HTMLInputElement);
    const download = inside(item, ".save", HTMLButtonElement);
    inside(item, "h3", HTMLElement).textContent = name;
    mute.setAttribute("aria-label", `Mute ${name}`);
    solo.setAttribute("aria-label", `Solo ${name}`);
    volume.setAttribute("aria-label", `Volume of ${name}`);
    download.setAttribute("aria-label", `Download ${name}`);
    mute.addEventListener("click", () => this.#set(track, { muted: !this.#player.strip(track).muted }));
    solo.addEventListener("click", () => this.#set(track, { soloed: !this.#player.strip(track).soloed }));
    volume.addEventListener("input", () => this.#set(track, { volume: volume.valueAsNumber }));
    download.addEventListener("click", () => void this.#save(download, track, name));
    canvas.addEventListener("pointerdown", (event) => {
      this.#player.seek((event.offsetX / canvas.clientWidth) * this.#player.duration);
    });
    this.#rows.push({ item, canvas, mute, solo });
    return item;
  }

  #set(track: number, changes: Parameters<Player["set"]>[1]): void {
    this.#player.set(track, changes);
    this.#changed();
  }

  #toggle(): void {
    if (this.#player.playing) this.#player.pause();
    else this.#player.play();
  }

  #key(event: KeyboardEvent): void {
    const free = !(event.target instanceof HTMLElement) || !event.target.closest("button, input, select");
    if (!free || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
    if (event.key === " ") this.#toggle();
    else if (step) this.#player.seek(this.#player.position + step);
    else return;
    event.preventDefault();
  }

  #changed(error?: unknown): void {
    if (error) this.report(error);
    play.classList.toggle("playing", this.#player.playing);
    play.setAttribute("aria-label", this.#player.playing ? "Pause" : "Play");
    this.#rows.forEach(({ item, mute, solo }, track) => {
      mute.setAttribute("aria-pressed", String(this.#player.strip(track).muted));
      solo.setAttribute("aria-pressed", String(this.#player.strip(track).soloed));
      item.classList.toggle("silent", !this.#player.audible(track));
    });
    this.#draw();
    if (this.#player.playing) requestAnimationFrame(() => this.#follow());
  }

  #follow(): void {
    if (!this.#player.playing || this.#gone.signal.aborted) return;
    this.#draw();
    requestAnimationFrame(() => this.#follow());
  }

  #draw(): void {
    const { position: now, duration } = this.#player;
    position.value = String(now);
    position.setAttribute("aria-valuetext", `${clock(now)} of ${clock(duration)}`);
    time.textContent = `${clock(now)} / ${clock(duration)}`;
    this.#rows.forEach(({ canvas }, track) =>
      draw(canvas, this.song.waveforms[track]!, this.#full, now / duration),
    );
  }

  #save(button: HTMLButtonElement, track: number, name: string): Promise<void> {
    const kind = format.value as WavFormat;
    return this.#while(button, async () => {
      save(await this.songs.download(track, kind), `${safeName(`${this.song.name} - ${name}`)}.wav`);
    });
  }

  #saveAll(): Promise<void> {
    const [kind, names] = [format.value as WavFormat, distinct(this.song.stems.map(safeName))];
    return this.#while(zip, async () => {
      const content = await this.songs.downloadAll(
        kind,
        names.map((name) => `${name}.wav`),
      );
      save(content, `${safeName(`${this.song.name} - stems`)}.zip`);
    });
  }

  async #while(button: HTMLButtonElement, work: () => Promise<void>): Promise<void> {
    button.disabled = true;
    try {
      await work();
    } catch (error) {
      if (!this.#gone.signal.aborted) this.report(error);
    } finally {
      button.disabled = false;
    }
  }
}

/** The names, numbered where some system would take two for one. */
function distinct(names: string[]): string[] {
  const folded = names.map((name) => name.normalize("NFD").toLowerCase());
  return names.map((name, i) => (folded.indexOf(folded[i]!) === i ? name : `${name} ${i + 1}`));
}
