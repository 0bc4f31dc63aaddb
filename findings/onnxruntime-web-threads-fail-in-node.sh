#!/usr/bin/env bash
# onnxruntime-web 1.30.0 in Node: its WebAssembly runs with one thread, and with two it fails for good, with
# an error that names neither threads nor what was missing.
#
# One would guess: Node has worker threads and SharedArrayBuffer, and the package has an entry for Node, so
#   that numThreads = 2 gives two threads, or one and a warning, as a page that is not isolated gets.
# What happens: the build for browsers (onnxruntime-web/wasm) makes the module of its threads by fetch() of a
#   file: URL, which Node's fetch does not know. The session is refused with "no available backend found …
#   fetch failed", and so is every later one in the process, with numThreads = 1 too, since the program counts
#   as started and failed.
# Why it matters: tests of browser code in Node, which also have more cores than one, pass or fail by a setting
#   that the message does not mention; a fallback to one thread has to start in a new process or worker.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund onnxruntime-web@1.30.0
cat > run.mjs <<'JS'
import { dirname, join } from "node:path";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const entry = createRequire(import.meta.url).resolve("onnxruntime-web");
const ort = await import(pathToFileURL(join(dirname(entry), "ort.wasm.min.mjs")));
// y = x + x, of four numbers.
const model = Buffer.from("CAg6OwoQCgF4CgF4EgF5IgNBZGQ6ABIFdHdpY2VaDwoBeBIKCggIARIECgIIBGIPCgF5EgoKCAgBEgQKAggEQgQKABAR", "base64");

async function tried(threads) {
  ort.env.wasm.numThreads = threads;
  try {
    const session = await ort.InferenceSession.create(model);
    const { y } = await session.run({ x: new ort.Tensor("float32", [1, 2, 3, 4], [4]) });
    return [...y.data].join();
  } catch (error) {
    return String(error.message).split("\n")[0];
  }
}

for (const threads of process.argv.slice(2)) console.log(`${threads}: ${await tried(Number(threads))}`);
process.exit(0);
JS
alone=$(node run.mjs 1)
then=$(node run.mjs 2 1)
printf 'one thread, in a process of its own:\n%s\ntwo threads, and then one:\n%s\n' "$alone" "$then"
[ "$alone" = "1: 2,4,6,8" ] && [ "$(grep -c 'no available backend found' <<<"$then")" = 2 ] ||
    { echo "no longer so" >&2; exit 1; }
