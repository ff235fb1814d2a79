import type { GenerateRequest } from "../engine/types.ts";
import type { Body } from "./body.ts";

/** What templates are given: what a key of the API says, and `chat_template_kwargs`, which other servers take, too. */
export function templateArguments(
  body: Body,
  known: GenerateRequest["templateArguments"],
): GenerateRequest["templateArguments"] {
  const given = body.object("chat_template_kwargs");
  return known === undefined && given === undefined ? undefined : { ...known, ...given };
}

/** An effort, for templates that know it, or can only turn reasoning on and off. */
export function effortArguments(effort: string | undefined): GenerateRequest["templateArguments"] {
  return effort === undefined ? undefined : { reasoning_effort: effort, enable_thinking: effort !== "none" };
}
