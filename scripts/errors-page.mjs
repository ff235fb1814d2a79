// Writes docs/errors.md from the catalogue in src/errors.ts: npm run build && node scripts/errors-page.mjs
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { errorCatalogue } from "../dist/index.js";

const rows = Object.entries(errorCatalogue).map(
  ([code, { exit, http, message }]) => `| \`${code}\` | ${exit} | ${http} | ${message} |`,
);
const page = `# Errors

<!-- Written by scripts/errors-page.mjs from src/errors.ts; a test compares the two. -->

Every error has a code, an exit status and an HTTP status. The library throws \`IdlmError\` with \`code\`, \`exitStatus\`,
\`httpStatus\` and \`message\`; the command line prints the message and exits with the exit status; \`idlm batch\` writes the
HTTP status to the output line of a request. \`{name}\` is replaced by the details of the error.

| code | exit status | HTTP status | message |
|---|---|---|---|
${rows.join("\n")}

Exit status 1 is an unexpected error (a bug; please report it with the output of \`--debug\`), 130 an interruption by Ctrl-C or SIGTERM.
If the reader of a pipe closes it early (\`idlm run … | head\`), the status is 0.
`;
writeFileSync(join(import.meta.dirname, "..", "docs", "errors.md"), page);
