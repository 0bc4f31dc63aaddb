import { describe, expect, test } from "vitest";
import { clock, roughly, safeName } from "../src/dom.js";
import { Folder } from "../src/files.js";
import { Peaks, SPANS } from "../src/peaks.js";
import { Problem, explain, isCancelled } from "../src/problems.js";

test("peaks are the lowest and the highest sample of each span", () => {
  const peaks = new Peaks(2 * SPANS);
  for (let i = 0; i < SPANS; i++) peaks.add(Float32Array.of(0.1, 0.2, -0.3, i === 7 ? -0.9 : 0), 2);
  expect([...peaks.spans.slice(0, 2)]).toEqual([-0.3, 0.2].map(Math.fround));
  expect(peaks.spans[14]).toBe(Math.fround(-0.9));
  expect(peaks.peak).toBe(Math.fround(0.9));
});

test("files are in memory where there is no private file system", async () => {
  const store = await (await Folder.create()).store("x");
  store.append(Uint8Array.of(1, 2, 3));
  store.append(Uint8Array.of(4, 5));
  expect([...(await store.read(2, 2))]).toEqual([3, 4]);
  expect(new Uint8Array(await (await store.blob()).arrayBuffer())).toEqual(Uint8Array.of(1, 2, 3, 4, 5));
});

describe("problems", () => {
  const coded = (code: string, message: string) => Object.assign(new Error(message), { code });

  test.each<[unknown, string | RegExp]>([
    [new Problem("As it is"), "As it is"],
    [new DOMException("x", "QuotaExceededError"), /no room left/],
    [new RangeError("Array buffer allocation failed"), /not enough memory/],
    [coded("run", "std::bad_alloc"), /not enough memory/],
    [coded("checksum", "x"), /damaged/],
    [coded("download", "x"), /Check the connection/],
    [coded("wav", "x"), /Choose 16 bits/],
    [coded("interface", "the model\n has"), "The model has."],
    ["odd", "Odd."],
  ])("%s", (error, line) => {
    expect(explain(error)).toMatch(line);
    expect(explain(error)).not.toContain("\n");
  });

  test("a person's end is none", () => {
    expect(isCancelled(new Problem("x"))).toBe(false);
    expect(isCancelled(AbortSignal.abort().reason)).toBe(true);
  });
});

test("times", () => {
  expect([0, 61.9, 3727].map(clock)).toEqual(["0:00", "1:01", "1:02:07"]);
  expect([3, 41, 60, 200, 3600, 5400].map(roughly)).toEqual([
    "a few seconds left",
    "about 40 seconds left",
    "about a minute left",
    "about 3 minutes left",
    "about an hour left",
    "about 1.5 hours left",
  ]);
});

test("names of files", () => {
  expect(["a/b:c", "..hidden. ", "♪ song", ""].map(safeName)).toEqual(["a_b_c", "hidden", "♪ song", "_"]);
});
