import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { collect } from "../terminal/collect-io.ts";

const folder = mkdtempSync(join(tmpdir(), "idlm-completion-"));
afterAll(() => rmSync(folder, { recursive: true }));
beforeAll(async () => {
  mkdirSync(join(folder, "my adapter"));
  writeFileSync(join(folder, "my model.gguf"), "");
  for (const shell of ["bash", "zsh", "fish"]) writeFileSync(join(folder, `idlm.${shell}`), await scriptOf(shell));
});

async function scriptOf(shell: string): Promise<string> {
  const { status, stdout, stderr } = await collect(["completion", shell]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout;
}

const isInstalled = (shell: string) => spawnSync(shell, ["--version"]).error === undefined;

/** The commands and long options in a help text. */
async function helpOf(...argv: readonly string[]) {
  const { stdout } = await collect([...argv, "--help"]);
  return {
    commands: [...stdout.matchAll(/^ {2}([a-z]+)\b.* {2,}\S/gm)].map((match) => match[1] ?? ""),
    options: [...stdout.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map((match) => match[1] ?? ""),
  };
}

/** Bash's completions of the last of these words. */
function offered(...words: readonly string[]): string[] {
  const script = `
    source ./idlm.bash
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _idlm
    for word in "\${COMPREPLY[@]}"; do echo "$word"; done`;
  const args = ["--norc", "--noprofile", "-uc", script, "bash", ...words];
  const { stdout, stderr } = spawnSync("bash", args, { cwd: folder, encoding: "utf8" });
  expect(stderr).toBe("");
  return stdout.split("\n").slice(0, -1);
}

describe("the completion of bash", () => {
  it("offers every command", async () => {
    const { commands } = await helpOf();
    expect(commands).toContain("completion");
    expect(offered("idlm", "").toSorted()).toEqual([...new Set(commands)].toSorted());
    expect(offered("idlm", "--quiet", "insp")).toEqual(["inspect"]);
    expect(offered("idlm", "--deb")).toEqual(["--debug"]);
  });

  it("offers every option of every command", async () => {
    for (const command of offered("idlm", "").filter((name) => name !== "help")) {
      const { options } = await helpOf(command);
      expect(options.length).toBeGreaterThan(3);
      expect(offered("idlm", command, "--").toSorted(), command).toEqual(options.toSorted());
    }
  });

  it("offers an option's values, files, folders and names", () => {
    expect(offered("idlm", "run", "m", "--propose", "")).toContain("lookup");
    expect(offered("idlm", "run", "m", "--propose", "=", "no")).toEqual(["none"]);
    expect(offered("idlm", "run", "m", "--backend", "=")).toEqual(["native", "reference"]);
    expect(offered("idlm", "run", "--adapter", "")).toEqual(["my adapter"]);
    expect(offered("idlm", "score", "x", "--text", "my m")).toEqual(["my model.gguf"]);
    expect(offered("idlm", "run", "--seed", "")).toEqual([]);
    expect(offered("idlm", "run", "smol")).toEqual(["smollm2-135m-instruct"]);
    expect(offered("idlm", "inspect", "my").toSorted()).toEqual(["my adapter", "my model.gguf"]);
    expect(offered("idlm", "completion", "")).toEqual(["bash", "zsh", "fish"]);
    expect(offered("idlm", "help", "insp")).toEqual(["inspect"]);
  });

  it("determines the argument's position, whatever options precede it", () => {
    const prompt = offered("idlm", "run", "smollm2-135m-instruct", "smol");
    expect(prompt).toEqual([]);
    expect(offered("idlm", "run", "--seed", "3", "--quiet", "--propose", "=", "none", "smol")).toEqual([
      "smollm2-135m-instruct",
    ]);
  });
});

it.skipIf(!isInstalled("zsh"))("the completion of zsh loads, and offers what the help lists", () => {
  // zsh completes only on a terminal: zpty gives it one.
  const script = `
    zmodload zsh/zpty
    zpty shell 'PS1=READY zsh -f -i'
    zpty -w shell 'autoload -U compinit; compinit -D; source ./idlm.zsh; LISTMAX=1000; print LOADED'
    zpty -r shell text '*LOADED*READY*'
    zpty -w -n shell $'idlm ins\\t'
    zpty -r shell text '*inspect*' && print -r -- "$text"
    zpty -w -n shell $'\\C-uidlm run x --propose loo\\t'
    zpty -r shell text '*lookup*' && print -r -- "$text"
    zpty -d shell`;
  const text = execFileSync("zsh", ["-f", "-c", script], { cwd: folder, encoding: "utf8", timeout: 30_000 });
  expect(text).toContain("inspect");
  expect(text).toContain("lookup");
  expect(text).not.toMatch(/_idlm:|_arguments:/);
});

it.skipIf(!isInstalled("fish"))("the completion of fish loads, and offers what the help lists", async () => {
  const complete = (line: string) =>
    execFileSync("fish", ["--no-config", "-c", `source ./idlm.fish; complete -C '${line}'`], {
      cwd: folder,
      encoding: "utf8",
    })
      .trim()
      .split("\n")
      .map((offer) => offer.split("\t")[0] ?? "");
  expect(complete("idlm ").toSorted()).toEqual([...new Set((await helpOf()).commands)].toSorted());
  expect(complete("idlm score --").toSorted()).toEqual((await helpOf("score")).options.toSorted());
  expect(complete("idlm run x --propose ")).toContain("lookup");
  expect(complete("idlm run smol")).toEqual(["smollm2-135m-instruct"]);
  expect(complete("idlm run --adapter my")).toEqual(["my adapter/"]);
});

describe("idlm completion", () => {
  it("rejects other shells", async () => {
    const result = await collect(["completion", "tcsh"]);
    expect(result).toMatchObject({ status: 2, stdout: "" });
    expect(result.stderr).toContain("bash, zsh, fish");
  });
});
