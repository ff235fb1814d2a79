// Imports point downwards only: cli, server -> making -> training -> engine -> decoding -> model -> compute -> formats.
const layer = (name, allowed) => ({
  name: `${name}-points-down`,
  severity: "error",
  from: { path: `^src/${name}/`, pathNot: "\\.test\\.ts$" },
  to: { path: "^src/", pathNot: `^src/(errors\\.ts$|${[name, ...allowed].map((n) => `${n}/`).join("|")})` },
});

module.exports = {
  forbidden: [
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true } },
    layer("formats", []),
    layer("hub", ["formats"]),
    layer("tokenizer", ["formats"]),
    layer("compute", ["formats"]),
    layer("grammar", []),
    layer("model", ["compute", "formats", "tokenizer", "hub"]),
    layer("decoding", ["model", "compute", "grammar", "formats", "tokenizer"]),
    layer("engine", ["decoding", "model", "compute", "grammar", "formats", "tokenizer", "hub"]),
    layer("answer", ["engine", "compute", "grammar", "formats"]),
    layer("apis", ["answer", "engine", "compute", "grammar", "formats"]),
    layer("batch", ["apis", "answer", "engine", "formats"]),
    layer("server", ["apis", "answer", "engine", "compute", "grammar", "formats"]),
    layer("training", ["engine", "decoding", "model", "compute", "formats", "tokenizer", "hub"]),
    layer("making", ["bench", "training", "engine", "model", "compute", "formats", "hub"]),
    { name: "playground-stands-alone", severity: "error", from: { path: "^web/" }, to: { path: "^src/" } },
    {
      name: "library-is-not-the-command-line",
      severity: "error",
      from: { path: "^src/(?!cli/)" },
      to: { path: "^src/cli/" },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    doNotFollow: { path: "node_modules" },
  },
};
