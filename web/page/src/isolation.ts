// Threads need a page that is cross-origin isolated, by its server or by our service worker.

import { Problem } from "./problems.js";

const TRIED = "onnx-demucs-isolation";
/** A service worker begins with all files of the page, or not at all. */
const PATIENCE = 60_000;

/** Registers the service worker; reloads once if that isolates the page. Returns what a person should know. */
export async function prepare(): Promise<string | undefined> {
  if (!isSecureContext)
    throw new Problem("This page needs https (or localhost): without it songs cannot be separated.");
  const registered = await register();
  if (crossOriginIsolated) {
    sessionStorage.removeItem(TRIED);
    return undefined;
  }
  if (registered && sessionStorage.getItem(TRIED) === null && (await controlled())) {
    sessionStorage.setItem(TRIED, "yes");
    location.reload();
    return new Promise(() => {}); // the reload ends it
  }
  return (
    "This page is not cross-origin isolated, so separation runs on one core and takes several times longer. " +
    "Its server should send Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp."
  );
}

async function register(): Promise<boolean> {
  try {
    return (await navigator.serviceWorker.register("./sw.js")) !== undefined;
  } catch {
    return false; // private windows, or storage that is switched off
  }
}

/** True once the service worker has taken the page over. */
function controlled(): Promise<boolean> {
  if (navigator.serviceWorker.controller) return Promise.resolve(true);
  return new Promise((resolve) => {
    navigator.serviceWorker.addEventListener("controllerchange", () => resolve(true), { once: true });
    setTimeout(() => resolve(false), PATIENCE);
  });
}
