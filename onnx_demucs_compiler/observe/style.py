"""Style of the report page: light, dark, phone width and paper."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f5f6f8; --card: #ffffff; --text: #1a1e24; --muted: #5a6371; --line: #e2e5ea; --well: #eef0f3;
  --main: #2266b3; --other: #9aa5b4; --gate: #c2410c; --note: #fff6e0; --note-line: #ecc25e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #13161a; --card: #1b1f25; --text: #e7eaee; --muted: #9ca6b3; --line: #2d333c; --well: #272c34;
    --main: #66a6ee; --other: #6b7685; --gate: #f3955a; --note: #2e2512; --note-line: #8a6a1f;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 66rem; padding: 2rem 1rem 3rem; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: break-word;
}
h1 { margin: 0; font-size: 1.7rem; line-height: 1.2; }
h2 { margin: 0 0 .75rem; font-size: 1.1rem; }
h3 { margin: 0 0 .5rem; font-size: .95rem; }
p { margin: .25rem 0 .75rem; }
.muted, figcaption, dt { color: var(--muted); }
small, figcaption { font-size: .85rem; }
section { margin-top: 1rem; padding: 1.1rem 1.25rem; background: var(--card);
  border: 1px solid var(--line); border-radius: .6rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.8rem, 1fr)); gap: .75rem;
  margin: 1.25rem 0 0; }
.tiles div { padding: .7rem .9rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .6rem; }
.tiles dt, .tiles small { display: block; font-size: .8rem; line-height: 1.35; }
.tiles dd { margin: 0; font-size: 1.3rem; font-weight: 600; line-height: 1.4; white-space: nowrap; }
.tiles small { color: var(--muted); }
.warnings { background: var(--note); border-color: var(--note-line); }
.warnings ul { margin: 0; padding-left: 1.2rem; }
.options { display: flex; flex-wrap: wrap; gap: .4rem; margin: 0; padding: 0; list-style: none; }
.options li { padding: .1rem .6rem; background: var(--well); border-radius: 1rem; font-size: .85rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr));
  gap: 1.25rem 2.5rem; }
.bar { display: grid; grid-template-columns: 10rem 1fr 4.7rem; gap: .6rem; align-items: center;
  margin: .2rem 0; font-size: .88rem; break-inside: avoid; }
.bar > :first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.bar > :last-child { text-align: right; white-space: nowrap; }
.track { position: relative; display: block; padding: 1px 0; background: var(--well); border-radius: 3px; }
.track i { display: block; height: .8rem; min-width: 1px; background: var(--main); border-radius: 3px; }
.pair .track i { height: .45rem; margin: 1px 0; }
.track i.other, .legend i.other { background: var(--other); }
.track b { position: absolute; top: -3px; bottom: -3px; width: 2px; margin-left: -1px;
  background: var(--gate); }
.pair > :last-child { font-size: .8rem; line-height: 1.25; }
.pair { grid-template-columns: 7rem 1fr 5.6rem; }
.pair .silent { grid-column: 2 / 4; text-align: left; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin-bottom: .9rem; font-size: .85rem; }
.legend i { display: inline-block; width: .8rem; height: .8rem; margin-right: .4rem; border-radius: 3px;
  background: var(--main); vertical-align: -1px; }
.legend i.gate { width: 2px; background: var(--gate); }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: .88rem; }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th { color: var(--muted); font-weight: 500; }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
td.reason { white-space: normal; text-align: left; }
tr:last-child td { border-bottom: 0; }
summary { margin-top: .75rem; color: var(--muted); cursor: pointer; }
figure { margin: 0 0 1.25rem; }
svg { display: block; width: 100%; height: 11rem; margin-bottom: .4rem; }
.area { fill: var(--main); fill-opacity: .22; stroke: var(--main); stroke-width: 1.5; }
.band { fill: var(--well); }
.steps .bar { grid-template-columns: 6.5rem 1fr 8.5rem; }
footer { margin-top: 1.25rem; color: var(--muted); font-size: .85rem; }
@media (max-width: 34rem) {
  body { padding: 1rem .6rem 2rem; }
  section { padding: .9rem .8rem; }
  .bar { grid-template-columns: 7.5rem 1fr 4.6rem; }
  .pair { grid-template-columns: 5.2rem 1fr 5.4rem; }
  .tiles { gap: .5rem; grid-template-columns: repeat(auto-fit, minmax(8.2rem, 1fr)); }
  .tiles dd { font-size: 1.15rem; }
  .steps .bar { grid-template-columns: 5.8rem 1fr 7.6rem; }
}
@media print {
  :root { --page: #fff; --card: #fff; --text: #000; --muted: #444; --line: #ccc; --well: #eee;
    --main: #2266b3; --other: #9aa5b4; --gate: #c2410c; --note: #fff; --note-line: #999; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { max-width: none; padding: 0; font-size: 11px; }
  section, .tiles div { break-inside: avoid-page; }
}
"""
