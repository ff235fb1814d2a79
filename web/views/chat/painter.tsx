import type { ComponentChildren } from "preact";
import type { Answer } from "../../conversation/answer.ts";
import { thrownAway } from "../../rounds/round-tree.ts";
import { sourceKey } from "../../rounds/sources.ts";

/** How text is coloured. */
export interface Paint {
  /** Undefined: not at all. */
  readonly answer: Answer | undefined;
  /** Up to where the answer's spans reach. */
  readonly paintedTo: number;
  /** Changes when finished text has to be painted again: the switches, or the selected round. */
  readonly style: string;
  readonly showRejected: boolean;
  readonly selected: number | undefined;
}

/**
 * Splits the text of a block into tokens. Markdown drops characters of the source but keeps their order, so each piece of
 * text is looked for after the one before.
 */
export class Painter {
  readonly #source: string;
  readonly #end: number;
  readonly #paint: Paint;
  #cursor: number;

  constructor(source: string, start: number, end: number, paint: Paint) {
    this.#source = source;
    this.#cursor = start;
    this.#end = end;
    this.#paint = paint;
  }

  paint(text: string): ComponentChildren {
    const { answer } = this.#paint;
    if (answer === undefined) return text;
    const at = this.#source.indexOf(text, this.#cursor);
    // An entity, or changed indentation.
    if (at < 0 || at + text.length > this.#end) return text;
    this.#cursor = at + text.length;
    return paintRange(text, at, answer, this.#paint);
  }
}

/** The text that stands at `start`, as one element per token. */
export function paintRange(text: string, start: number, answer: Answer, paint: Paint): ComponentChildren {
  const end = start + text.length;
  const painted: ComponentChildren[] = [];
  let at = start;
  for (let i = firstSpanAfter(answer, start); i < answer.spans.length; i++) {
    const span = answer.spans[i];
    if (span === undefined || span.start >= end) break;
    const [from, to] = [Math.max(span.start, at), Math.min(span.end, end)];
    if (from > at) painted.push(text.slice(at - start, from - start));
    painted.push(...tokenOf(answer, span.token, text.slice(from - start, to - start), from === span.start, paint));
    at = to;
  }
  if (at < end) painted.push(text.slice(at - start));
  return painted;
}

function tokenOf(answer: Answer, index: number, text: string, isStart: boolean, paint: Paint): ComponentChildren[] {
  const token = answer.tokens[index];
  const round = answer.roundOf[index];
  if (token === undefined || round === undefined) return [text];
  const selected = round === paint.selected ? " selected" : "";
  const shown = (
    <span
      key={`t${index}`}
      class={`token source-${sourceKey(token.source, token.depth)}${selected}`}
      data-token={index}
    >
      {text}
    </span>
  );
  const lost = paint.showRejected && isStart && token.depth === 0 ? thrownAway(answer.rounds[round]) : "";
  return lost === "" ? [shown] : [<del key={`d${index}`}>{lost.replaceAll("\n", "⏎")}</del>, shown];
}

/** Index of the first span that ends after `at`. */
function firstSpanAfter({ spans }: Answer, at: number): number {
  let [low, high] = [0, spans.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((spans[middle]?.end ?? 0) <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}
