import { execFileSync } from "node:child_process";

/** The Python that has the clients written in it: IDLM_CLIENTS_PYTHON names it. */
export const python = process.env.IDLM_CLIENTS_PYTHON ?? "python3";

/** Whether Python has a module; says on standard error what is skipped if it has not. */
export function hasPythonModule(name: string): boolean {
  try {
    execFileSync(python, ["-c", `import ${name}`], { stdio: "ignore" });
    return true;
  } catch {
    console.warn(`skipped: ${python} has no module ${name}; IDLM_CLIENTS_PYTHON names a Python that has it`);
    return false;
  }
}
