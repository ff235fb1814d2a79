/**
 * Takes the pictures of the playground again, and with them the figures that README.md and docs/playground.md quote:
 *
 *   npm run build && node scripts/screenshots.mjs [MODEL]
 *
 * Needs Chromium, and a machine without other work. Writes docs/playground-chat.webp and docs/playground-race.webp, the race
 * block of README.md and the description of the race in docs/playground.md. The machine, which is printed, is named by hand.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { runnerImport } from "vite";

const root = join(import.meta.dirname, "..");
const cli = join(root, "dist/cli/main.js");
const [model = "smollm2-135m-instruct"] = process.argv.slice(2);
const { module } = await runnerImport("./test/support/browser.ts", { configFile: false, logLevel: "error" });

const browser = await module.launchChromium();
const server = spawn(process.execPath, [cli, "serve", model, "--port", "0", "--json", "--log-level", "silent"], {
  stdio: ["ignore", "pipe", "inherit"],
});
try {
  const { url } = JSON.parse(String((await once(server.stdout, "data"))[0]));
  save("playground-chat", await chat(await open(url, "dark")));
  const page = await open(url, "light");
  const words = await race(page);
  save("playground-race", await toWebp(page));
  replace("docs/playground.md", /!\[Race: [^\]]*\]/, () => `![Race: ${words}]`);
} finally {
  await browser.close();
  server.kill();
  await once(server, "exit");
}
const printed = execFileSync(process.execPath, [cli, "race", model], { encoding: "utf8" });
const table = printed.slice(printed.search(/^ +plain +proposing/m));
replace("README.md", /```text\n +plain +proposing[\s\S]*?```/, () => `\`\`\`text\n${table}\`\`\``);
console.log(`${cpus()[0]?.model}, ${cpus().length} CPUs\n\n${printed}`);

async function open(url, colorScheme) {
  const page = await browser.newPage({ viewport: { width: 1240, height: 760 }, colorScheme });
  await page.goto(url);
  await page.locator("#composer").waitFor();
  // Loading is over.
  await page.locator(".dot.ready").waitFor();
  return page;
}

/** An answer with what was thrown away, and the tree of a round in which proposals stood. */
async function chat(page) {
  await page.getByRole("button", { name: "Settings", exact: true }).click();
  await page.getByLabel("Temperature", { exact: true }).fill("0");
  await page.getByLabel("Max tokens", { exact: true }).fill("160");
  await page.keyboard.press("Escape");
  const answered = async (text) => {
    await page.locator("#composer").fill(text);
    await page.keyboard.press("Enter");
    await page.locator("abbr[title^=SHA-256]").waitFor();
  };
  // The first answer teaches the server what rounds cost here.
  await answered("What is a forest?");
  await page.getByRole("button", { name: "New", exact: true }).click();
  await answered("Give me three tips for staying healthy.");
  await page.getByLabel("rejected").check();
  const deep = page.locator(".message .token.source-mask-2");
  await ((await deep.count()) > 0 ? deep : page.locator(".message .token.source-mask-1")).first().click();
  return toWebp(page);
}

/** Runs the race three times and says in words what came of it. */
async function race(page) {
  await page.getByRole("navigation").getByRole("button", { name: "Race" }).click();
  await page.getByLabel("Runs of each").selectOption("3");
  await page.getByRole("button", { name: "Start the race" }).click();
  await page.getByRole("button", { name: "Stop" }).waitFor();
  await page.getByRole("button", { name: "Start the race" }).waitFor();
  const text = await page.getByRole("region", { name: "Outcome" }).textContent();
  const [, bytes, speedUp, tokens, overhead] = text.match(
    /^(.*?)(\d\.\d\d) × as fast.*?(\d\.\d\d) tokens per forward.* takes (\d\.\d\d) ×/,
  );
  return `${bytes.toLowerCase()}, ${speedUp} times as fast, because a forward gave ${tokens} tokens and took ${overhead} times as long`;
}

async function toWebp(page) {
  // Off everything that shows something when the pointer is over it.
  await page.mouse.move(5, 755);
  await page.waitForTimeout(200);
  const png = (await page.screenshot()).toString("base64");
  const blank = await browser.newPage();
  const url = await blank.evaluate(`(async () => {
    const image = new Image();
    image.src = "data:image/png;base64,${png}";
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL("image/webp", 0.85);
  })()`);
  await blank.close();
  return Buffer.from(url.split(",")[1], "base64");
}

function save(name, bytes) {
  writeFileSync(join(root, "docs", `${name}.webp`), bytes);
}

function replace(path, pattern, by) {
  const text = readFileSync(join(root, path), "utf8");
  if (!pattern.test(text)) throw new Error(`${path} has no ${pattern}`);
  writeFileSync(join(root, path), text.replace(pattern, by));
}
