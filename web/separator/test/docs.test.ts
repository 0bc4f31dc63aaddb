import { readFileSync, readdirSync } from "node:fs";

import { expect, test } from "vitest";

const page = readFileSync(new URL("../../../docs/browser.md", import.meta.url), "utf-8");
const folder = new URL("../src/", import.meta.url);
const source = readdirSync(folder)
  .map((name) => readFileSync(new URL(name, folder), "utf-8"))
  .join("\n");

function documented(heading: string): string[] {
  const [rows] = /(?:^\|.*\n)+/m.exec(page.split(heading)[1]!)!;
  return [...rows.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell]) => cell!.replaceAll("`", "").split(", "));
}

function members(name: string): string[] {
  const [, body] = new RegExp(`interface ${name} .*?\\{\\n(.*?)\\n\\}`, "s").exec(source)!;
  return [...body!.matchAll(/^ {2}(\w+)\??:/gm)].map(([, member]) => member!);
}

test("every code of an error is documented", () => {
  const codes = [...source.matchAll(/SeparatorError\(\s*"(\w+)"/g)].map(([, code]) => code!);
  // What the GPU's runner throws ends in a note.
  const thrown = new Set([...codes.filter((code) => code !== "gpu"), "unexpected"]);
  expect(documented("is a `SeparatorError`").sort()).toEqual([...thrown].sort());
});

test("every option is documented", () => {
  const load = [...members("LoadOptions"), ...members("SourceOptions")];
  expect(documented("### Options of `load`").sort()).toEqual(load.sort());
  expect(documented("### Options of `separate`").sort()).toEqual(members("SeparateOptions").sort());
});
