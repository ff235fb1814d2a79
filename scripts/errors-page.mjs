// Writes docs/errors.md from the catalogue in src/errors.ts: npm run build && node scripts/errors-page.mjs
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { errorCatalogue } from "../dist/index.js";

const rows = Object.entries(errorCatalogue).map(
  ([code, { exit, message }]) => `| \`${code}\` | ${exit} | ${message} |`,
);
const page = `# Errors

<!-- Written by scripts/errors-page.mjs from src/errors.ts; a test compares the two. -->

Every error has a code and an exit status. The library throws \`IdlmError\` with \`code\`, \`exitStatus\`
and \`message\`; the command line prints the message and exits with the status. \`{name}\` is replaced by the details of
the error.

| code | exit status | message |
|---|---|---|
${rows.join("\n")}

Exit status 1 is an unexpected error (a bug; please report it with the output of \`--debug\`), 130 an interruption by Ctrl-C or SIGTERM.
If the reader of a pipe closes it early (\`idlm run … | head\`), the status is 0.
`;
writeFileSync(join(import.meta.dirname, "..", "docs", "errors.md"), page);
