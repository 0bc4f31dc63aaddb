// The service worker: the page without a connection, and isolated where its server does not isolate it.
// The model is not its business: the page keeps that itself, with its checksum.

/// <reference lib="webworker" />

const worker = self as unknown as ServiceWorkerGlobalScope;
/** Put in by vite.config.ts: the files of the page, and a name that changes with any of them. */
declare const __FILES__: string[];
declare const __VERSION__: string;

const PREFIX = "onnx-demucs-page-";
const FILES = __FILES__;
const SHELL = PREFIX + __VERSION__;
const FRESH = ["", "index.html", "model.json"]; // the server's if there is one, else what was kept

worker.addEventListener("install", (event) => {
  const kept = caches.open(SHELL).then((cache) => cache.addAll(["./", "model.json", ...FILES]));
  event.waitUntil(kept.catch(() => caches.delete(SHELL)).then(() => worker.skipWaiting()));
});

worker.addEventListener("activate", (event) => {
  event.waitUntil(removeOthers().then(() => worker.clients.claim()));
});

worker.addEventListener("fetch", (event) => {
  const { request } = event;
  const scope = worker.registration.scope;
  const path = request.url.startsWith(scope)
    ? request.url.slice(scope.length).replace(/[?#].*/, "")
    : undefined;
  if (request.method !== "GET" || path === undefined) return;
  if (FRESH.includes(path)) event.respondWith(fresh(request).then(isolated));
  else if (path.startsWith("assets/") || FILES.includes(path))
    event.respondWith(kept(request).then(isolated));
});

async function fresh(request: Request): Promise<Response> {
  const cache = await caches.open(SHELL);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(withoutQuery(request), response.clone()).catch(() => {});
    return response;
  } catch (error) {
    const response = await cache.match(withoutQuery(request));
    if (response) return response;
    throw error;
  }
}

async function kept(request: Request): Promise<Response> {
  const cache = await caches.open(SHELL);
  const before = await cache.match(request, { ignoreSearch: true, ignoreVary: true });
  if (before) return before;
  const response = await fetch(request);
  if (response.ok) await cache.put(withoutQuery(request), response.clone()).catch(() => {});
  return response;
}

function withoutQuery(request: Request): string {
  return request.url.replace(/[?#].*/, "");
}

function isolated(response: Response): Response {
  if (response.type === "opaque" || response.status === 0 || response.redirected) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  const { status, statusText } = response;
  return new Response(status === 204 || status === 304 ? null : response.body, {
    status,
    statusText,
    headers,
  });
}

async function removeOthers(): Promise<void> {
  for (const name of await caches.keys())
    if (name.startsWith(PREFIX) && name !== SHELL) await caches.delete(name);
}
