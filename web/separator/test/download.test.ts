import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createHash } from "node:crypto";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { fetchModel } from "../src/download.js";
import { bytes, fixtures } from "./fixtures.js";

const graph = Buffer.from(bytes(fixtures.separated.graph));
const data = Buffer.from(bytes(fixtures.separated.data));
const sha256 = { graph: checksum(graph), data: checksum(data) };
const asked: string[] = [];
let server: Server;
let url: string;

function checksum(file: Buffer): string {
  return createHash("sha256").update(file).digest("hex");
}

/** A cache in memory that says what it is full of. */
function cacheOf(full = false) {
  const kept = new Map<string, Response>();
  const cache = {
    match: async (key: string) => kept.get(key)?.clone(),
    put: async (key: string, response: Response) => {
      if (full) throw new DOMException("Quota exceeded", "QuotaExceededError");
      kept.set(key, response);
    },
  };
  return { kept, cache: cache as unknown as Cache };
}

beforeAll(async () => {
  server = createServer((request, response) => {
    const path = request.url!;
    asked.push(path);
    if (path.startsWith("/tiny.onnx.data")) response.setHeader("Content-Length", data.length).end(data);
    else if (path.startsWith("/tiny.onnx")) response.setHeader("Content-Length", graph.length).end(graph);
    else if (path === "/page") response.end("<!DOCTYPE html><title>Not found</title>");
    else if (path === "/slow") response.write(graph.subarray(0, 10));
    else response.writeHead(404).end();
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
});

describe("a model", () => {
  test("of two files, with its progress", async () => {
    const told: number[][] = [];
    const files = await fetchModel(`${url}/tiny.onnx?v=1`, {
      sha256,
      onDownload: (...counts) => told.push(counts),
    });
    expect(asked.slice(-2)).toEqual(["/tiny.onnx?v=1", "/tiny.onnx.data?v=1"]);
    expect(Buffer.from(files.graph)).toEqual(graph);
    expect(files.data!.path).toBe("tiny.onnx.data");
    expect(Buffer.from(files.data!.data)).toEqual(data);
    expect(files.artifact.facts.sha256).toBe(sha256.graph);
    expect(told.at(-1)).toEqual([graph.length + data.length, graph.length + data.length]);
    expect(told.every(([received, total]) => received! <= total!)).toBe(true);
  });

  test("in memory, whose weights must be given", async () => {
    await expect(fetchModel(bytes(fixtures.separated.graph))).rejects.toMatchObject({ code: "data" });
    const files = await fetchModel(bytes(fixtures.separated.graph), { data: bytes(fixtures.separated.data) });
    expect(Buffer.from(files.data!.data)).toEqual(data);
  });

  test.each([{ graph: "00" }, { data: "00" }])("with another checksum than %o", async (wrong) => {
    const loading = fetchModel(`${url}/tiny.onnx`, { sha256: { ...sha256, ...wrong } });
    await expect(loading).rejects.toMatchObject({ code: "checksum" });
  });

  test.each([
    ["/none", "download", "answered 404"],
    ["/page", "model", "web page"],
  ])("at %s", async (path, code, message) => {
    await expect(fetchModel(url + path)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });

  test("at a server that is not there", async () => {
    await expect(fetchModel("http://127.0.0.1:9/x")).rejects.toMatchObject({ code: "download" });
  });

  test("while somebody aborts", async () => {
    const controller = new AbortController();
    const loading = fetchModel(`${url}/slow`, { signal: controller.signal });
    setTimeout(() => controller.abort(), 50);
    await expect(loading).rejects.toMatchObject({ name: "AbortError" });
    await expect(fetchModel(url, { signal: controller.signal })).rejects.toMatchObject({
      name: "AbortError",
    });
  });
});

describe("a cache", () => {
  test("spares the second download", async () => {
    const { cache } = cacheOf();
    await fetchModel(`${url}/tiny.onnx`, { sha256, cache });
    const before = asked.length;
    const files = await fetchModel(`${url}/tiny.onnx`, { sha256, cache });
    expect(asked.length).toBe(before);
    expect(Buffer.from(files.data!.data)).toEqual(data);
  });

  test("that holds something else is passed over, and mended", async () => {
    const { kept, cache } = cacheOf();
    kept.set(`${url}/tiny.onnx`, new Response("old"));
    await fetchModel(`${url}/tiny.onnx`, { sha256, cache });
    expect(Buffer.from(await kept.get(`${url}/tiny.onnx`)!.arrayBuffer())).toEqual(graph);
  });

  test("never holds a file with another checksum", async () => {
    const { kept, cache } = cacheOf();
    await expect(fetchModel(`${url}/tiny.onnx`, { sha256: { graph: "00" }, cache })).rejects.toThrow();
    expect(kept.size).toBe(0);
  });

  test("that is full is told of", async () => {
    const files = await fetchModel(`${url}/tiny.onnx`, { cache: cacheOf(true).cache });
    expect(files.notes).toEqual(Array(2).fill("not kept for next time: Quota exceeded"));
  });
});
