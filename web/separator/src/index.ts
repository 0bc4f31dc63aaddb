export { interleave, toChannels } from "./channels.js";
export { WorkerSeparator } from "./client.js";
export { SeparatorError } from "./errors.js";
export type { ModelFacts } from "./metadata.js";
export { defaultThreads } from "./platform.js";
export { resample } from "./resample.js";
export { type Block, type LoadOptions, type SeparateOptions, type Separator, load } from "./separator.js";
export { type Wav, type WavFormat, WavPieces, readWav, writeWav } from "./wav.js";
