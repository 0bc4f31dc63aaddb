// The page: a song is chosen, decoded, separated in a worker, and shown.

import "./style.css";
import * as comlink from "comlink";
import { WorkerSeparator } from "onnx-demucs-separator";
import { decode } from "./decode.js";
import { type Description, fetchDescription, sizeOf } from "./description.js";
import { byId, roughly, say } from "./dom.js";
import { prepare } from "./isolation.js";
import { Problem, explain, isCancelled } from "./problems.js";
import { Result, type Separated } from "./result.js";
import type { SongWorker } from "./song.worker.js";

const CACHE = "onnx-demucs-model";
const LOCK = "onnx-demucs-separating";
const TITLE = document.title;
const IN_MEMORY =
  "This browser gives the page no space on disk, as in some private windows: the stems are kept in memory, and a long song may not fit.";

const choose = byId("choose", HTMLElement);
const input = byId("file", HTMLInputElement);
const running = byId("running", HTMLElement);
const step = byId("step", HTMLElement);
const remaining = byId("remaining", HTMLElement);
const bar = byId("progress", HTMLProgressElement);
const finished = byId("finished", HTMLElement);
const problem = byId("problem", HTMLElement);
const notice = byId("notice", HTMLElement);

let description: Description;
/** What a person should know where the page is not isolated. */
let isolation: string | undefined;
let separator: WorkerSeparator | undefined;
let songs: comlink.Remote<SongWorker>;
/** Resolves when the worker for songs is at rest. */
let rest: Promise<unknown> = Promise.resolve();
let result: Result | undefined;
let job: AbortController | undefined;

function startSongs(): void {
  const worker = new Worker(new URL("./song.worker.ts", import.meta.url), { type: "module" });
  songs = comlink.wrap<SongWorker>(worker);
  worker.onerror = () => {
    worker.terminate();
    rest = Promise.resolve();
    startSongs();
    job?.abort(
      new Problem("The page's worker failed, perhaps for lack of memory. Reload the page, and try again."),
    );
  };
}

/** What a worker makes; it is not waited for once a person has cancelled, but for the next song. */
function made<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  rest = Promise.allSettled([rest, work]);
  return untilAborted(work, signal);
}

async function take(file: File): Promise<void> {
  if (job || !description) return;
  job = new AbortController();
  say(problem, undefined);
  result?.close();
  result = undefined;
  choose.hidden = true;
  running.hidden = false;
  byId("song", HTMLElement).textContent = file.name;
  byId("cancel", HTMLButtonElement).focus();
  try {
    const separated = await alone(() => separate(file, job!.signal));
    show(separated);
  } catch (error) {
    rest = rest.then(() => songs.end());
    say(problem, isCancelled(error) ? "Cancelled. Nothing was kept." : explain(error));
    if (!isCancelled(error)) await forget();
    document.title = TITLE;
    choose.hidden = false;
    input.focus();
  } finally {
    running.hidden = true;
    job = undefined;
  }
}

/** Keeps other tabs from separating meanwhile: two at once take each other's cores and memory. */
async function alone<T>(work: () => Promise<T>): Promise<T> {
  return navigator.locks.request(LOCK, { ifAvailable: true }, (lock) => {
    if (!lock)
      throw new Problem("Another tab of this page is separating a song. Wait for it, or cancel it there.");
    return work();
  });
}

async function separate(file: File, signal: AbortSignal): Promise<Separated> {
  progress("Reading the song");
  await untilAborted(rest, signal);
  const { stems, channels, sample_rate: rate } = description;
  const audio = await made(decode(file, songs, rate), signal);
  const buffers = audio.channels.map((channel) => channel.buffer as ArrayBuffer);
  const target = { sampleRate: rate, channels, stems };
  const { mix, onDisk } = await made(songs.begin(comlink.transfer(audio, buffers), target), signal);
  say(notice, [isolation, onDisk ? undefined : IN_MEMORY].filter(Boolean).join(" "));
  const frames = mix[0]!.length;
  separator ??= await load(signal);
  progress("Separating", 0);
  const began = performance.now();
  await separator.separate(mix, {
    signal,
    transfer: true,
    onBlock: async ({ stems: block }) => {
      const blocks = block.flat().map((samples) => samples.buffer as ArrayBuffer);
      await made(songs.append(comlink.transfer(block, blocks)), signal);
    },
    onProgress: (done, total) => {
      const left = ((performance.now() - began) / 1000 / done) * (total - done);
      progress("Separating", done / total, done < total ? roughly(left) : "");
    },
  });
  const waveforms = await songs.waveforms();
  const name = file.name.replace(/\.[^.]+$/, "") || file.name;
  return { name, stems, frames, rate, waveforms };
}

async function load(signal: AbortSignal): Promise<WorkerSeparator> {
  const { graph, data } = description;
  const cache = await caches.open(CACHE).catch(() => undefined);
  progress("Fetching the model");
  const found = await WorkerSeparator.load(addressOf(graph.file), {
    ...(data ? { data: addressOf(data.file) } : {}),
    sha256: { graph: graph.sha256, ...(data ? { data: data.sha256 } : {}) },
    ...(cache ? { cache } : {}),
    signal,
    onDownload: (received) => {
      const total = sizeOf(description);
      if (received < total)
        progress("Fetching the model", received / total, `${megabytes(received)} of ${megabytes(total)} MB`);
      else progress("Starting the model");
    },
  });
  const threads = `${found.threads} thread${found.threads === 1 ? "" : "s"}`;
  const provider = found.provider === "webgpu" ? "WebGPU" : `WebAssembly, ${threads}`;
  tellModel([provider, ...found.notes]);
  return found;
}

/** Gives the model's memory back; the next song loads it again. */
async function forget(): Promise<void> {
  await separator?.release().catch(() => {});
  separator = undefined;
}

function show(separated: Separated): void {
  finished.textContent = separated.name;
  result = new Result(separated, songs, (error) => say(problem, explain(error)));
  document.title = `Done · ${separated.name}`;
  finished.focus();
}

function another(): void {
  result?.close();
  result = undefined;
  say(problem, undefined);
  document.title = TITLE;
  rest = rest.then(() => songs.end());
  choose.hidden = false;
  input.value = "";
  input.focus();
}

/** The bar has no end where `part` is not known. */
function progress(what: string, part?: number, left = ""): void {
  if (step.textContent !== what) step.textContent = what; // told aloud once
  remaining.textContent = left;
  if (part === undefined) bar.removeAttribute("value");
  else bar.value = part;
  document.title = part === undefined ? `${what} · ${TITLE}` : `${Math.floor(100 * part)} % · ${what}`;
}

function tellModel(lines: string[]): void {
  const { model, stems } = description;
  byId("model", HTMLElement).textContent = [`${model}: ${stems.join(", ")}`, ...lines].join(" · ");
}

function addressOf(file: string): string {
  return new URL(encodeURIComponent(file), document.baseURI).href;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
}

function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  work.catch(() => {}); // it may end after nobody waits
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason as Error);
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

function listen(): void {
  input.addEventListener("change", () => {
    const [file] = input.files ?? [];
    input.value = ""; // the same file can be chosen again
    if (file) void take(file);
  });
  byId("cancel", HTMLButtonElement).addEventListener("click", () => job?.abort());
  byId("again", HTMLButtonElement).addEventListener("click", another);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.toggle("dragging", !job);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dragging");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    const [file] = event.dataTransfer?.files ?? [];
    if (file) void take(file);
  });
  window.addEventListener("beforeunload", (event) => {
    if (job) event.preventDefault();
  });
}

async function start(): Promise<void> {
  try {
    isolation = await prepare();
    say(notice, isolation);
    description = await fetchDescription();
    tellModel([`${megabytes(sizeOf(description))} MB, fetched with the first song`]);
    startSongs();
    listen();
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    say(problem, explain(error));
    choose.hidden = true;
  }
}

void start();
