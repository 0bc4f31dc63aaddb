// Separates a song in Chromium with the built package: MODEL.onnx SONG.wav OUTDIR PROGRAM MODE.
//
// MODE is one of those in page.js. In plain the page is not isolated; bundled is what Vite makes of page and
// package; software and webgpu have an adapter in software, which says in webgpu that it is none.

import { createReadStream, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { basename, dirname, extname, join } from "node:path";

import { chromium } from "playwright-core";
import { build } from "vite";

const [model, song, out, program, mode] = process.argv.slice(2);
const HERE = import.meta.dirname;
const scratch = mkdtempSync(join(tmpdir(), "separator-"));
const FOLDERS = {
  "/dist/": join(HERE, "..", "dist"),
  "/test/": HERE,
  "/bundle/assets/": join(scratch, "bundle", "assets"),
  "/bundle/": join(scratch, "bundle"),
  "/model/": dirname(model),
  "/song/": dirname(song),
};
const TYPES = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
};
const ISOLATED = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  ["software", "webgpu"].includes(mode) ? "--enable-unsafe-webgpu" : "--disable-gpu",
];

if (mode === "bundled")
  await build({
    root: HERE,
    configFile: false,
    logLevel: "silent",
    base: "./",
    worker: { format: "es" },
    build: { outDir: join(scratch, "bundle"), rollupOptions: { input: join(HERE, "page.html") } },
  });

const asked = [];
const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://localhost");
  const [prefix, folder] = Object.entries(FOLDERS).find(([each]) => pathname.startsWith(each)) ?? [];
  const file = folder && join(folder, basename(pathname));
  if (!file || pathname.slice(prefix.length).includes("/") || !existsSync(file))
    return response.writeHead(404).end();
  asked.push(pathname);
  response.writeHead(200, {
    "Content-Type": TYPES[extname(file)] ?? "application/octet-stream",
    "Content-Length": statSync(file).size,
    ...(mode === "plain" ? {} : ISOLATED),
  });
  createReadStream(file).pipe(response);
}).listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));
const origin = `http://127.0.0.1:${server.address().port}`;

const profile = join(scratch, "profile");
const context = await chromium.launchPersistentContext(profile, { executablePath: program, args: FLAGS });
try {
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.exposeFunction("keep", (name, base64) =>
    writeFileSync(join(out, name), Buffer.from(base64, "base64")),
  );
  await page.goto(`${origin}/${mode === "bundled" ? "bundle" : "test"}/page.html`);
  const files = [`/model/${basename(model)}`, `/song/${basename(song)}`];
  const told = await page.evaluate(([name, ...urls]) => globalThis.modes[name](...urls), [mode, ...files]);
  console.log(JSON.stringify({ ...told, errors, asked }));
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
} finally {
  await context.close();
  server.closeAllConnections();
  server.close();
  rmSync(scratch, { recursive: true, force: true });
}
