// Packs the package, installs the tarball into an empty project, and tests command line, library and types there.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const project = mkdtempSync(join(tmpdir(), "idlm-install-"));
const fixture = join(root, "test", "fixtures", "gguf", "tiny64-Q8_0.gguf");

function run(what, command, args, cwd = project) {
  const result = spawnSync(command, args, { cwd, encoding: "utf8", maxBuffer: 1 << 28 });
  if (result.status === 0) return result.stdout;
  console.error(`check:install: ${what} failed\n${result.error ?? ""}${result.stdout ?? ""}${result.stderr ?? ""}`);
  process.exit(1);
}

process.on("exit", () => rmSync(project, { recursive: true, force: true }));
run("npm run build", "npm", ["run", "--silent", "build"], root);
run("npm pack", "npm", ["pack", "--ignore-scripts", "--pack-destination", project], root);
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
writeFileSync(join(project, "package.json"), '{ "name": "consumer", "private": true, "type": "module" }');
run("npm install", "npm", ["install", join(project, `idlm-${version}.tgz`)]);

const installed = join(project, "node_modules", "idlm");
const native = existsSync(join(installed, "build", "Release", "idlm_native.node"));
if (!native && process.env.IDLM_SKIP_NATIVE !== "1") {
  console.error("check:install: the installed package did not build its addon");
  process.exit(1);
}
const printed = run("idlm --version", "npx", ["--no-install", "idlm", "--version"]).trim();
if (printed !== version) {
  console.error(`check:install: idlm --version printed ${printed}, expected ${version}`);
  process.exit(1);
}
writeFileSync(
  join(project, "use.ts"),
  `import { type GenerationResult, load } from "idlm";

const model = await load(${JSON.stringify(fixture)}, { adapter: false });
const result: GenerationResult = await model.generate({ messages: [{ role: "user", content: "one" }], maxTokens: 8 }).result;
console.log(result.tokens.length);
await model.dispose();
`,
);
// Checks the declarations in a user's project: strict, and without skipLibCheck.
const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
const types = join(root, "node_modules", "@types");
const options = ["--strict", "--target", "es2022", "--module", "nodenext", "--typeRoots", types, "--types", "node"];
run("tsc", process.execPath, [tsc, ...options, "use.ts"]);
const tokens = run("the library", process.execPath, ["use.js"]).trim();
if (tokens !== "8") {
  console.error(`check:install: the library generated ${tokens} tokens, expected 8`);
  process.exit(1);
}
// The server's other files are found: its page, and the thread that compiles grammars.
const args = [join(installed, "dist", "cli", "main.js"), "serve", fixture, "--port", "0", "--json", "--alias", "m"];
const server = spawn(process.execPath, args, { cwd: project, stdio: ["ignore", "pipe", "ignore"] });
process.on("exit", () => server.kill());
const [line] = await once(server.stdout, "data");
const { url } = JSON.parse(line);
const { status } = await fetch(url);
const response = await fetch(`${url}/v1/completions`, {
  method: "POST",
  body: JSON.stringify({ model: "m", prompt: "one", grammar: 'root ::= "two"' }),
});
const answer = await response.text();
server.kill();
if (status !== 200 || !answer.includes('"text":"two"')) {
  console.error(`check:install: the server's page has status ${status}; a completion with a grammar is ${answer}`);
  process.exit(1);
}
console.log(
  `check:install: idlm ${version} installs and runs from its tarball${native ? ", kernels built" : ", reference only"}`,
);
