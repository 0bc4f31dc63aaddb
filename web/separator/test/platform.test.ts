import { afterEach, describe, expect, test, vi } from "vitest";

import { defaultThreads, isIos } from "../src/platform.js";

const IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)";
const MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)";
const LINUX = "Mozilla/5.0 (X11; Linux x86_64)";

afterEach(() => vi.unstubAllGlobals());

function place(hardwareConcurrency: number, isolated = true, userAgent = LINUX, maxTouchPoints = 0): void {
  const platform = userAgent === MAC ? "MacIntel" : "other";
  vi.stubGlobal("navigator", { hardwareConcurrency, userAgent, platform, maxTouchPoints });
  vi.stubGlobal("crossOriginIsolated", isolated);
}

describe("threads", () => {
  test.each([
    [1, 1],
    [2, 1],
    [4, 3],
    [9, 8],
    [64, 8],
  ])("of %i cores are %i", (cores, threads) => {
    place(cores);
    expect(defaultThreads()).toBe(threads);
  });

  test("are one where the page is not isolated, on iOS, and in Node", () => {
    place(8, false);
    expect(defaultThreads()).toBe(1);
    place(8, true, IPHONE);
    expect(defaultThreads()).toBe(1);
    vi.unstubAllGlobals();
    expect(defaultThreads()).toBe(1);
  });
});

test("an iPad says that it is a Mac, and has a touch screen", () => {
  place(8, true, MAC, 5);
  expect(isIos()).toBe(true);
  place(8, true, MAC);
  expect(isIos()).toBe(false);
});
