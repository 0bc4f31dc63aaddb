// What went wrong, in one line that a person understands.

/** A failure whose message is meant for the person at the page. */
export class Problem extends Error {
  override readonly name = "Problem";
}

const FULL =
  "The browser has no room left for the stems. Free some space on this device, or choose a shorter song.";
const MEMORY =
  "There is not enough memory for this song on this device. Close other tabs and programs, or choose a shorter song.";
const DAMAGED =
  "The model on the server is damaged or was replaced while it was fetched. Reload the page, or tell its owner.";
const LONG = "A wav file holds 4 GB at most, and this stem is longer. Choose 16 bits.";
const UNREACHABLE = "The model cannot be fetched. Check the connection, and try again.";

const BY_CODE: Record<string, string> = {
  checksum: DAMAGED,
  download: UNREACHABLE,
  memory: MEMORY,
  wav: LONG,
};

const OUT_OF_MEMORY =
  /out of memory|allocation failed|bad_alloc|invalid (typed )?array (buffer )?length|memory access/i;

/** The line for whatever was thrown. */
export function explain(error: unknown): string {
  if (!(error instanceof Error)) return sentence(String(error));
  if (error.name === "Problem") return error.message;
  if (error.name === "QuotaExceededError" || error.message.startsWith("QuotaExceededError")) return FULL;
  if (OUT_OF_MEMORY.test(error.message)) return MEMORY;
  const code = "code" in error ? String(error.code) : "";
  return BY_CODE[code] ?? sentence(error.message);
}

/** True if a person asked for the end. */
export function isCancelled(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

function sentence(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return `${line.charAt(0).toUpperCase()}${line.slice(1)}${/[.!?]$/.test(line) ? "" : "."}`;
}
