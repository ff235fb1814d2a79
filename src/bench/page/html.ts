/** Colours of all pages, for light and dark screens. */
export const colours = {
  muted: "light-dark(#57606a, #9ba6b3)",
  line: "light-dark(#dcdfe3, #2b323c)",
  faster: "light-dark(#0f9d76, #2fd6a3)",
  slower: "light-dark(#b42318, #ff8f85)",
  /** Of series, in order. */
  series: [
    "light-dark(#0f9d76, #2fd6a3)",
    "light-dark(#3b5bdb, #8ea8ff)",
    "light-dark(#b35900, #f2a65a)",
    "light-dark(#9c36b5, #e599f7)",
    "light-dark(#57606a, #9ba6b3)",
  ],
} as const;

const STYLE = `
html { color-scheme: light dark; background: light-dark(#ffffff, #0e1116); color: light-dark(#1b1f24, #e7eaee); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
code { font-size: .9em; }
svg { width: 100%; max-width: 760px; height: auto; font-size: 13px; }
svg text { fill: currentColor; } .label { text-anchor: end; } svg .tick { fill: ${colours.muted}; }
svg .middle { text-anchor: middle; } svg .end { text-anchor: end; }
.grid { stroke: ${colours.line}; } .one { stroke: ${colours.muted}; stroke-width: 2; }
line.faster { stroke: ${colours.faster}; stroke-width: 4; } circle.faster { fill: ${colours.faster}; }
line.slower { stroke: ${colours.slower}; stroke-width: 4; } circle.slower { fill: ${colours.slower}; }
line.open { stroke: ${colours.muted}; stroke-width: 4; } circle.open { fill: ${colours.muted}; }
.expected { fill: none; stroke: currentColor; stroke-width: 1.5; }
${colours.series.map((colour, i) => `.s${i} { stroke: ${colour}; } circle.s${i} { fill: ${colour}; } svg text.s${i} { fill: ${colour}; stroke: none; }`).join("\n")}
polyline { fill: none; stroke-width: 2; stroke-linejoin: round; } .dashed { stroke-dasharray: 5 4; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem .2rem 0; text-align: right; border-bottom: 1px solid ${colours.line}; white-space: nowrap; overflow-wrap: normal; }
th:first-child { text-align: left; }
`;

/** A page in one file: it loads nothing and runs no script. `style` is added to that of all pages. */
export function htmlPage(title: string, body: string, style = ""): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${STYLE}${style}</style>
</head>
<body>
<main>
<h1>${escaped(title)}</h1>
${body}
</main>
</body>
</html>
`;
}

/** A table; the first column has the names of the rows. */
export function htmlTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (values: readonly string[]) => values.map((value) => `<td>${escaped(value)}</td>`).join("");
  const lines = rows.map(([name = "", ...values]) => {
    return `<tr><th scope="row">${escaped(name)}</th>${cells(values)}</tr>`;
  });
  // It can be scrolled with the keyboard, too.
  return `<div class="scroll" tabindex="0" role="region" aria-label="${escaped(head.join(", "))}"><table>
<thead><tr>${head.map((name) => `<th scope="col">${escaped(name)}</th>`).join("")}</tr></thead>
<tbody>
${lines.join("\n")}
</tbody>
</table></div>`;
}

export function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
