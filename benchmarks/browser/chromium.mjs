// Graphs in the workers of one page in headless Chromium, each with an onnxruntime-web of its own; chromium.py
// drives it.
//
//     make web-install
//     node benchmarks/browser/chromium.mjs PROGRAM
//
// Each line on stdin is JSON for one worker, as worker.js takes it, with the worker's name; files in it are
// paths. Each answer is a line of JSON on stdout. The page is cross-origin isolated, for threads.
import { createReadStream, createWriteStream, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createInterface } from "node:readline";

const web = createRequire(new URL("../../web/", import.meta.url));
const { chromium } = web("playwright-core");
const PACKAGE = join(web.resolve("onnxruntime-web"), "..", "..");
const OWN = ["/worker.js", "/core.js"];
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
];
const TYPES = {
  html: "text/html",
  js: "text/javascript",
  mjs: "text/javascript",
  wasm: "application/wasm",
};

/** The files that the page may read and write, by their place in this list. */
const files = [];
const address = (path) => `/file/${files.push(path) - 1}`;

function sourceOf(pathname) {
  if (OWN.includes(pathname)) return join(import.meta.dirname, pathname);
  const [, folder, name] = pathname.split("/");
  if (folder === "ort") return join(PACKAGE, "dist", name);
  return folder === "file" ? files[name] : undefined;
}

/** fft.js is of CommonJS. */
function fftModule() {
  const source = readFileSync(web.resolve("fft.js"), "utf8");
  return `const module = {};\n${source}\nexport default module.exports;\n`;
}

async function answer(request, response) {
  const { pathname } = new URL(request.url, "http://localhost");
  const source = sourceOf(pathname);
  if (request.method === "POST")
    await pipeline(request, createWriteStream(source));
  response.setHeader(
    "Content-Type",
    TYPES[pathname === "/" ? "html" : pathname.split(".").at(-1)] ??
      "application/octet-stream",
  );
  response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
  response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
  if (request.method === "GET" && source)
    await pipeline(createReadStream(source), response);
  else if (pathname === "/fft.js") response.end(fftModule());
  else
    response.end(
      pathname === "/" ? "<!doctype html><link rel=icon href=data:,>" : "",
    );
}

/** Runs in the page. */
function asked([name, message]) {
  const workers = (globalThis.workers ??= {});
  workers[name] ??= new Worker("/worker.js", { type: "module" });
  return new Promise((resolve, reject) => {
    workers[name].onmessage = ({ data }) => resolve(data);
    workers[name].onerror = ({ message }) =>
      reject(new Error(message || "the worker failed"));
    workers[name].postMessage(message);
  });
}

function withAddresses({ graph, data, feeds, keep, ...rest }) {
  const feedsToRead = feeds?.map((each) => ({
    ...each,
    file: address(each.file),
  }));
  return {
    ...rest,
    ...(graph ? { graph: address(graph), feeds: feedsToRead } : {}),
    ...(data ? { data: { name: data.name, file: address(data.file) } } : {}),
    ...(keep ? { keep: address(keep) } : {}),
  };
}

const server = createServer((request, response) =>
  answer(request, response).catch((error) => response.destroy(error)),
);
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const browser = await chromium.launch({
  executablePath: process.argv[2],
  args: FLAGS,
});
try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const { version } = JSON.parse(
    readFileSync(join(PACKAGE, "package.json"), "utf8"),
  );
  const isolated = await page.evaluate(() => crossOriginIsolated);
  console.log(
    JSON.stringify({
      chromium: browser.version(),
      onnxruntime_web: version,
      isolated,
    }),
  );
  for await (const line of createInterface({ input: process.stdin })) {
    const { worker, ...message } = JSON.parse(line);
    const told = await page
      .evaluate(asked, [worker, withAddresses(message)])
      .catch((error) => ({ error: error.message.split("\n")[0] }));
    console.log(JSON.stringify(told));
  }
} finally {
  await browser.close();
  server.closeAllConnections();
  server.close();
}
