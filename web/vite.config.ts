import { createHash } from "node:crypto";
import { defineConfig, type Plugin } from "vite";

/** Builds the page as one file, dist/playground.html: script and styles inside, allowed by their hashes and nothing else. */
export default defineConfig({
  root: import.meta.dirname,
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../dist",
    // tsdown writes there, too.
    emptyOutDir: false,
    copyPublicDir: false,
    target: "es2022",
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    rolldownOptions: { input: `${import.meta.dirname}/playground.html` },
  },
  plugins: [oneFile()],
});

function oneFile(): Plugin {
  return {
    name: "one-file",
    enforce: "post",
    generateBundle(_, bundle) {
      let [script, style] = ["", ""];
      for (const [name, file] of Object.entries(bundle)) {
        if (file.type === "chunk") script += file.code;
        else if (name.endsWith(".css")) style += file.source;
        else continue;
        delete bundle[name];
      }
      // A script ends at its first end tag, wherever that stands.
      script = script.trim().replaceAll("</script", "<\\/script");
      style = style.trim();
      for (const file of Object.values(bundle)) {
        if (file.type !== "asset" || !file.fileName.endsWith(".html")) continue;
        const html = String(file.source).replace(/\s*<(?:script|link)\b[^>]*>(?:<\/script>)?/g, "");
        file.source = html
          .replace(
            "<!-- policy -->",
            () => `<meta http-equiv="Content-Security-Policy" content="${policy(script, style)}">`,
          )
          .replace("</head>", () => `<style>${style}</style></head>`)
          .replace("</body>", () => `<script type="module">${script}</script></body>`);
      }
    },
  };
}

/** Only this script and these styles, requests to the page's own server, no frames, no forms that go anywhere. */
function policy(script: string, style: string): string {
  const hash = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  return [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
}
