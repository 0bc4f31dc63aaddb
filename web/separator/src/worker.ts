// The engine in a worker; client.ts is the other side.

import { SeparatorError, inOneLine } from "./errors.js";
import type { FromWorker, Running, ToWorker } from "./protocol.js";
import { type Separator, open } from "./separator.js";

const page = self as unknown as {
  postMessage(message: FromWorker, transfer?: Transferable[]): void;
  addEventListener(type: "message", listener: (event: MessageEvent<ToWorker>) => void): void;
};
let separator: Separator;
let taken: () => void;

page.addEventListener("message", ({ data }) => {
  if (data.type === "taken") taken();
  else
    answer(data).catch((error: unknown) => {
      const code = error instanceof SeparatorError ? error.code : "unexpected";
      page.postMessage({ type: "failed", code, message: inOneLine(error) });
    });
});

async function answer(asked: Exclude<ToWorker, { type: "taken" }>): Promise<void> {
  if (asked.type === "open") {
    separator = await open(asked.files, asked.options);
    page.postMessage({ type: "opened", running: running() });
    return;
  }
  await separator.separate(asked.mix, {
    ...(asked.overlap === undefined ? {} : { overlap: asked.overlap }),
    // The next segment waits until the page has taken this one, or blocks would pile up there.
    onBlock: ({ start, stems }) =>
      new Promise((resolve) => {
        taken = resolve;
        const transfer = stems.flat().map((samples) => samples.buffer as ArrayBuffer);
        page.postMessage({ type: "block", start, stems, running: running() }, transfer);
      }),
  });
  page.postMessage({ type: "done", running: running() });
}

function running(): Running {
  return { provider: separator.provider, threads: separator.threads, notes: [...separator.notes] };
}
