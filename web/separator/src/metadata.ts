// What a file says of itself: onnx_demucs_compiler/artifact/metadata.py.

import { SeparatorError } from "./errors.js";
import { DEFAULT_OVERLAP } from "./segments.js";

const PREFIX = "onnx_demucs.";

/** What a person should know of a model, and what the mix has to be like. */
export interface ModelFacts {
  /** Names, in order. */
  stems: string[];
  /** In Hz, of the mix and the stems. */
  sampleRate: number;
  /** Of the mix and of every stem. */
  channels: number;
  /** Samples per channel that one run takes. */
  segment: number;
  /** The part of each segment that the next covers too, unless `separate` is told another. */
  overlap?: number;
  /** What was compiled, as its maker named it. */
  model: string;
  /** `fp32`, `fp16-weights` or `int8`. */
  precision: string;
  /** The execution providers that run all of the graph, fastest first; none without `--target web`. */
  providers: string[];
  /** Of the graph, in hexadecimal. */
  sha256: string;
}

/** The facts of a model, and how many track means each of its stems lacks. */
export interface Artifact {
  facts: ModelFacts;
  means: number[];
}

export function artifactOf(props: ReadonlyMap<string, string>, sha256: string): Artifact {
  const reader = new Props(props);
  if (!props.has(`${PREFIX}interface`))
    throw new SeparatorError(
      "metadata",
      "the model was not made by onnx-demucs compile (it lacks that metadata); compile the checkpoint first",
    );
  checkInterface(reader);
  const facts: ModelFacts = {
    stems: reader.names("sources"),
    sampleRate: reader.count("sample_rate"),
    channels: reader.count("audio_channels"),
    segment: reader.count(`${PREFIX}segment`),
    overlap: DEFAULT_OVERLAP,
    model: reader.text(`${PREFIX}model`),
    precision: reader.text("precision"),
    providers: props.has(`${PREFIX}providers`) ? reader.names(`${PREFIX}providers`) : [],
    sha256,
  };
  if (facts.stems.length === 0 || new Set(facts.stems).size < facts.stems.length)
    throw new SeparatorError(
      "metadata",
      "the model's metadata names no stems, or one twice; compile a separator",
    );
  return { facts, means: meansOf(reader, facts.stems.length) };
}

function checkInterface(reader: Props): void {
  const [kind, batch] = [reader.text(`${PREFIX}interface`), reader.text(`${PREFIX}batch`, "1")];
  if (kind === "surrounded")
    throw new SeparatorError(
      "interface",
      "the model needs the song around each segment, which is not given here; compile it with --length segment",
    );
  if (kind !== "waveform")
    throw new SeparatorError(
      "interface",
      `the model has the interface ${kind}, which leaves its STFT to the host; compile it with --target web`,
    );
  if (reader.text(`${PREFIX}overlap`, "") !== "")
    throw new SeparatorError("track", "the model takes whole tracks in one run; compile it without --track");
  if (reader.text(`${PREFIX}fade_step`, "") !== "")
    throw new SeparatorError(
      "interface",
      "the segments of this model fade into each other, which is not done here; separate with onnx-demucs separate",
    );
  if (batch !== "1" && batch !== "dynamic")
    throw new SeparatorError(
      "batch",
      `the model takes ${batch} segments in a run; compile it without --batch`,
    );
}

/** In `no_STEM` the mean was taken out of each of the sources added up, or out of both sides of a difference. */
function meansOf(reader: Props, stems: number): number[] {
  const means = Array.from({ length: stems }, () => 1);
  const method = reader.text(`${PREFIX}other_method`, "");
  if (method === "minus") means[1] = 0;
  if (method === "add") means[1] = reader.names(`${PREFIX}model_sources`).length - 1;
  if (method !== "" && stems !== 2) throw reader.garbled(`${PREFIX}other_method`);
  return means;
}

class Props {
  constructor(private readonly props: ReadonlyMap<string, string>) {}

  text(key: string, missing?: string): string {
    const text = this.props.get(key) ?? missing;
    if (text === undefined) throw this.garbled(key);
    return text;
  }

  count(key: string): number {
    const text = this.text(key);
    if (!/^[1-9]\d{0,9}$/.test(text)) throw this.garbled(key);
    return Number(text);
  }

  names(key: string): string[] {
    let names: unknown;
    try {
      names = JSON.parse(this.text(key));
    } catch {
      throw this.garbled(key);
    }
    if (!Array.isArray(names) || !names.every((name): name is string => typeof name === "string"))
      throw this.garbled(key);
    return names;
  }

  garbled(key: string): SeparatorError {
    return new SeparatorError("metadata", `the model's metadata lacks or garbles ${key}; compile it again`);
  }
}
