// Plays a person at the page: node drive.mjs SCENARIO, with the facts as JSON on stdin; prints JSON.
// tests/web/test_web_page.py runs it, and docs/page_pictures.py for the pictures in the documentation.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--enable-blink-features=ForceEagerMeasureMemory",
];
const PATIENCE = 300_000;
const LOOKS = {
  light: { width: 1000, colorScheme: "light" },
  dark: { width: 1000, colorScheme: "dark" },
  phone: { width: 390, colorScheme: "light" },
};

const facts = JSON.parse(readFileSync(0, "utf8"));
const errors = [];

async function visit(context) {
  const page = await context.newPage();
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  await page.goto(facts.insecure ? facts.url.replace("127.0.0.1", "page.test") : facts.url);
  await page.waitForSelector("html[data-ready], #problem:not([hidden])");
  return page;
}

const choose = (page) => page.setInputFiles("#file", facts.song);
const outcome = (page) => page.waitForSelector("#problem:not([hidden]), #result:not([hidden])");
const shown = async (page, id) => ((await page.isVisible(`#${id}`)) ? page.textContent(`#${id}`) : null);
const separating = (page) =>
  page.waitForFunction(() => /left$/.test(document.querySelector("#remaining").textContent));

async function state(page) {
  return {
    problem: await shown(page, "problem"),
    notice: await shown(page, "notice"),
    choose: await page.isVisible("#choose"),
    result: await page.isVisible("#result"),
    isolated: await page.evaluate(() => crossOriginIsolated),
    model: await page.textContent("#model"),
    title: await page.title(),
  };
}

/** How many folders of songs the browser's private file system has, once it is at rest. */
async function folders(page) {
  const count = () =>
    page.evaluate(async () => {
      const names = [];
      for await (const name of (await navigator.storage.getDirectory()).keys()) names.push(name);
      return names.length;
    });
  for (let tries = 0; tries < 50 && (await count()) > 0; tries++) await page.waitForTimeout(100);
  return count();
}

/** Lets the browser keep so many bytes more. */
async function leaveRoom(context, page, room) {
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
  const { usage } = await page.evaluate(() => navigator.storage.estimate());
  const devtools = await context.newCDPSession(page);
  const { origin } = new URL(facts.url);
  await devtools.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: usage + room });
}

async function download(page, selector, format) {
  await page.selectOption("#format", format);
  const [file] = await Promise.all([page.waitForEvent("download"), page.click(selector)]);
  const path = join(facts.folder, `${format} ${file.suggestedFilename()}`);
  await file.saveAs(path);
  return path;
}

/** Runs in the page before anything else: its workers tell the size of their WebAssembly memories when asked. */
function tellWasm() {
  const told = () => {
    const memories = [];
    WebAssembly.Memory = new Proxy(WebAssembly.Memory, {
      construct(target, options) {
        memories.push(new target(...options));
        return memories.at(-1);
      },
    });
    const channel = new BroadcastChannel("wasm");
    channel.onmessage = ({ data }) => {
      const bytes = memories.reduce((sum, memory) => sum + memory.buffer.byteLength, 0);
      if (data === "asked" && bytes) channel.postMessage(bytes);
    };
  };
  window.Worker = class extends Worker {
    constructor(url, options) {
      const source = `import "${url}"; (${told})();`;
      super(URL.createObjectURL(new Blob([source], { type: "text/javascript" })), options);
    }
  };
}

/** Runs in the page. Chromium's own measure counts array buffers, and no memory of WebAssembly. */
async function bytesInUse() {
  const channel = new BroadcastChannel("wasm");
  const wasm = await new Promise((resolve) => {
    channel.onmessage = ({ data }) => typeof data === "number" && resolve(data);
    channel.postMessage("asked");
  });
  channel.close();
  return { wasm, rest: (await performance.measureUserAgentSpecificMemory()).bytes };
}

const scenarios = {
  /** A song separated, and its stems in every format asked for. */
  async separate(context) {
    if (facts.script) await context.addInitScript(facts.script);
    const page = await visit(context);
    await choose(page);
    await outcome(page);
    const told = await state(page);
    if (told.problem) return told;
    const files = {};
    for (const format of facts.formats)
      for (const stem of facts.stems)
        files[`${stem} ${format}`] = await download(page, `button[aria-label="Download ${stem}"]`, format);
    if (facts.zip) files.zip = await download(page, "#zip", "pcm16");
    await page.click("#again");
    return { ...told, files, folders: await folders(page) };
  },

  /** The line that a person reads, and what is left on disk. */
  async fail(context) {
    if (facts.script) await context.addInitScript(facts.script);
    const page = await visit(context);
    if (facts.room) await leaveRoom(context, page, facts.room);
    if (facts.song && (await page.isVisible("#choose"))) {
      await choose(page);
      await outcome(page);
    }
    return { ...(await state(page)), folders: facts.insecure ? 0 : await folders(page) };
  },

  /** The memory, in bytes, of page, workers and WebAssembly once each part of a song is separated. */
  async memory(context) {
    await context.addInitScript(tellWasm);
    const page = await visit(context);
    await choose(page);
    const memory = [];
    for (const part of facts.parts) {
      await page.waitForFunction(
        (part) =>
          document.querySelector("#step").textContent === "Separating" &&
          document.querySelector("#progress").value >= part,
        part,
      );
      memory.push(await page.evaluate(bytesInUse));
    }
    await outcome(page);
    memory.push(await page.evaluate(bytesInUse));
    return { ...(await state(page)), memory };
  },

  /** Pictures of the page in each state, as `page-STATE-LOOK.png` in the folder. */
  async pictures(context) {
    const page = await visit(context);
    const keep = async (state, looks) => {
      for (const look of looks) {
        const { width, ...media } = LOOKS[look];
        await page.setViewportSize({ width, height: 320 });
        await page.emulateMedia(media);
        await page.waitForTimeout(500); // waveforms are drawn again
        await page.screenshot({ path: join(facts.folder, `page-${state}-${look}.png`), fullPage: true });
      }
    };
    await keep("start", ["light", "phone"]);
    await page.setInputFiles("#file", facts.text);
    await outcome(page);
    await keep("error", ["light"]);
    await choose(page);
    await separating(page);
    await keep("running", ["light", "dark"]);
    await outcome(page);
    await page.click('button[aria-label="Mute vocals"]');
    await page.locator("#position").evaluate((slider) => {
      slider.value = String(slider.max * 0.4);
      slider.dispatchEvent(new Event("input"));
    });
    await keep("done", ["light", "dark", "phone"]);
    return state(page);
  },

  /** Cancelled in the middle, and begun again. */
  async cancel(context) {
    const page = await visit(context);
    await choose(page);
    await separating(page);
    await page.click("#cancel");
    await outcome(page);
    const cancelled = { ...(await state(page)), folders: await folders(page) };
    await choose(page);
    await outcome(page);
    return { cancelled, ...(await state(page)) };
  },

  /** A second tab while the first is at work. */
  async tabs(context) {
    const first = await visit(context);
    await choose(first);
    await separating(first);
    const second = await visit(context);
    await choose(second);
    await outcome(second);
    const refused = await state(second);
    await outcome(first);
    return { refused, ...(await state(first)) };
  },

  /** A visit, and another while the server is gone. */
  async offline(context) {
    const page = await visit(context);
    await choose(page);
    await outcome(page);
    const first = await state(page);
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
    await page.close();
    process.kill(facts.server);
    const again = await visit(context);
    await choose(again);
    await outcome(again);
    return { first, ...(await state(again)) };
  },

  /** Transport, mute and solo, from the keyboard where that does it. */
  async play(context) {
    await context.addInitScript(() => {
      window.heard = { contexts: 0, starts: [], gains: [] };
      const { start } = AudioBufferSourceNode.prototype;
      AudioBufferSourceNode.prototype.start = function (when) {
        window.heard.starts.push([when, this.buffer.length, this.buffer.sampleRate]);
        return start.call(this, when);
      };
      const { setTargetAtTime } = AudioParam.prototype;
      AudioParam.prototype.setTargetAtTime = function (value, ...rest) {
        window.heard.gains.push(value);
        return setTargetAtTime.call(this, value, ...rest);
      };
      const Context = window.AudioContext;
      window.AudioContext = class extends Context {
        constructor(options) {
          super(options);
          window.heard.contexts++;
        }
      };
    });
    const page = await visit(context);
    await choose(page);
    await outcome(page);
    const gains = () => page.evaluate(() => window.heard.gains.splice(0));
    const starts = () => page.evaluate(() => window.heard.starts.splice(0));
    const focused = await page.evaluate(() => document.activeElement.id);
    await page.keyboard.press("Space");
    await page.waitForFunction(() => window.heard.starts.length > 0);
    const label = await page.getAttribute("#play", "aria-label");
    const first = await starts();
    await page.waitForFunction(() => document.querySelector("#position").valueAsNumber > 0.2);
    await page.click('button[aria-label="Mute drums"]');
    const muted = await gains();
    await page.click('button[aria-label="Solo drums"]');
    const soloed = await gains();
    await page.locator("#position").evaluate((slider) => {
      slider.value = "1";
      slider.dispatchEvent(new Event("input"));
    });
    await page.waitForFunction(() => window.heard.starts.length > 0);
    const sought = await starts();
    await page.waitForFunction(() => document.querySelector("#play").ariaLabel === "Play");
    return {
      focused,
      label,
      first,
      muted,
      soloed,
      sought,
      contexts: await page.evaluate(() => window.heard.contexts),
      pressed: await page.getAttribute('button[aria-label="Mute drums"]', "aria-pressed"),
      time: await page.textContent("#time"),
    };
  },
};

const profile = mkdtempSync(join(tmpdir(), "onnx-demucs-page-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: facts.chromium,
  args: [...FLAGS, "--host-resolver-rules=MAP page.test 127.0.0.1"],
  ...facts.options,
});
try {
  context.setDefaultTimeout(PATIENCE);
  const told = await scenarios[process.argv[2]](context);
  console.log(JSON.stringify({ ...told, errors }));
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
}
