import { describe, expect, test } from "vitest";

import { SeparatorError } from "../src/errors.js";
import { artifactOf } from "../src/metadata.js";
import { readGraph } from "../src/onnx.js";
import { bytes, fixtures } from "./fixtures.js";

const whole = new Uint8Array(bytes(fixtures.separated.model));
const graph = new Uint8Array(bytes(fixtures.separated.graph));
const { props } = readGraph(whole);

/** The code of the error for metadata that is changed; undefined takes a key away. */
function refusal(changes: Record<string, string | undefined>): string {
  const changed = new Map(props);
  for (const [key, value] of Object.entries(changes)) {
    changed.delete(key);
    if (value !== undefined) changed.set(key, value);
  }
  try {
    artifactOf(changed, "");
  } catch (error) {
    expect(error).toBeInstanceOf(SeparatorError);
    expect((error as Error).message).not.toContain("\n");
    return (error as SeparatorError).code;
  }
  return "none";
}

describe("a file", () => {
  test("its metadata", () => {
    expect(props.get("onnx_demucs.interface")).toBe("waveform");
    expect(props.get("sources")).toBe('["vocals", "no_vocals"]');
    expect(props.get("onnx_demucs.provenance")).toBe("");
  });

  test("where its weights are", () => {
    expect(readGraph(whole).locations).toEqual([]);
    expect(readGraph(graph).locations).toEqual(["tiny.onnx.data"]);
    expect(readGraph(graph).props).toEqual(props);
  });

  test("cut short anywhere, it is refused or lacks metadata", () => {
    for (let length = 0; length < graph.length; length += 7) {
      let found = new Map<string, string>();
      try {
        found = readGraph(graph.subarray(0, length)).props;
      } catch (error) {
        expect((error as SeparatorError).code).toBe("model");
      }
      expect(found.size).toBeLessThan(props.size);
    }
  });

  test.each([
    ["text", new TextEncoder().encode("no model at all, but a page")],
    ["an endless number", new Uint8Array(20).fill(255)],
    ["a length beyond the end", Uint8Array.of(58, 255, 255, 255, 255, 15)],
    ["a group", Uint8Array.of(11, 0)],
  ])("%s is no model", (_, file) => {
    expect(() => readGraph(file)).toThrow("no ONNX file");
  });
});

describe("metadata", () => {
  test("its facts", () => {
    const { facts, means } = artifactOf(props, "ab");
    expect(facts).toEqual({
      stems: ["vocals", "no_vocals"],
      sampleRate: 8000,
      channels: 2,
      segment: 200,
      overlap: 0.25,
      model: "untrained:tiny?seed=0",
      precision: "fp32",
      providers: [],
      sha256: "ab",
    });
    expect(means).toEqual([1, 3]);
  });

  test("means of a difference, and of stems of their own", () => {
    expect(artifactOf(new Map([...props, ["onnx_demucs.other_method", "minus"]]), "").means).toEqual([1, 0]);
    expect(artifactOf(new Map([...props, ["onnx_demucs.other_method", ""]]), "").means).toEqual([1, 1]);
  });

  test.each([
    ["metadata", { "onnx_demucs.interface": undefined }],
    ["interface", { "onnx_demucs.interface": "core" }],
    ["track", { "onnx_demucs.overlap": "0.25" }],
    ["batch", { "onnx_demucs.batch": "4" }],
    ["none", { "onnx_demucs.batch": "dynamic" }],
    ["metadata", { sample_rate: "0" }],
    ["metadata", { "onnx_demucs.segment": "1e9" }],
    ["metadata", { sources: "drums" }],
    ["metadata", { sources: '["a", 1]' }],
    ["metadata", { sources: '["a", "a"]' }],
    ["metadata", { sources: '["a", "b", "c"]' }],
    ["metadata", { precision: undefined }],
  ])("%s: %o", (code, changes) => {
    expect(refusal(changes)).toBe(code);
  });
});
