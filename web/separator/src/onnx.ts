// What is read of an ONNX file before a runtime loads it: onnxruntime-web does not tell a model's metadata.

import { SeparatorError } from "./errors.js";

// Fields of ONNX's ModelProto, GraphProto, TensorProto and StringStringEntryProto.
const MODEL = { graph: 7, metadata: 14 };
const GRAPH = { initializer: 5 };
const TENSOR = { externalData: 13 };
const ENTRY = { key: 1, value: 2 };
const WIRE = { varint: 0, eight: 1, bytes: 2, four: 5 };

/** What a graph says: its metadata, and the files that its weights are in, beside it. */
export interface GraphFacts {
  props: Map<string, string>;
  locations: string[];
}

export function readGraph(file: Uint8Array): GraphFacts {
  const facts: GraphFacts = { props: new Map(), locations: [] };
  try {
    for (const [number, value] of fields(file)) {
      if (number === MODEL.metadata) facts.props.set(...entryOf(value));
      if (number === MODEL.graph) facts.locations = locationsOf(value);
    }
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof TypeError)) throw error;
    throw new SeparatorError("model", "the model is no ONNX file, or was cut short; fetch it again");
  }
  return facts;
}

function locationsOf(graph: Uint8Array): string[] {
  const locations = new Set<string>();
  for (const [number, tensor] of fields(graph)) {
    if (number !== GRAPH.initializer) continue;
    for (const [field, value] of fields(tensor)) {
      const [key, text] = field === TENSOR.externalData ? entryOf(value) : [];
      if (key === "location" && text) locations.add(text);
    }
  }
  return [...locations];
}

function entryOf(bytes: Uint8Array): [string, string] {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let [key, text] = ["", ""];
  for (const [number, value] of fields(bytes)) {
    if (number === ENTRY.key) key = decoder.decode(value);
    if (number === ENTRY.value) text = decoder.decode(value);
  }
  return [key, text];
}

/** The fields of a protobuf message that hold bytes, in order; others are passed over. */
function* fields(message: Uint8Array): Generator<[number, Uint8Array]> {
  let position = 0;
  const varint = (): number => {
    for (let value = 0, factor = 1, bytes = 0; bytes < 10; bytes++, factor *= 128) {
      const byte = message[position++];
      if (byte === undefined) break;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
    throw new RangeError("no number");
  };
  while (position < message.length) {
    const tag = varint();
    const [number, wire] = [Math.floor(tag / 8), tag % 8];
    const start = position;
    if (wire === WIRE.varint) varint();
    else if (wire === WIRE.eight) position += 8;
    else if (wire === WIRE.four) position += 4;
    else if (wire === WIRE.bytes) {
      const length = varint();
      const begin = position;
      position += length;
      if (position <= message.length) yield [number, message.subarray(begin, position)];
    } else throw new RangeError("no field");
    if (position > message.length || position <= start) throw new RangeError("cut short");
  }
}
