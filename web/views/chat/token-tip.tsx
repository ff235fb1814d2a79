import { useEffect, useState } from "preact/hooks";
import type { Answer } from "../../conversation/answer.ts";
import { thrownAway } from "../../rounds/round-tree.ts";
import { sourceKey, sourceOf } from "../../rounds/sources.ts";
import { current } from "../../state.ts";

interface Hovered {
  readonly answer: Answer;
  readonly token: number;
  readonly x: number;
  readonly y: number;
}

/** On hover: where a token came from, and what its round threw away. */
export function TokenTip() {
  const [hovered, setHovered] = useState<Hovered>();
  useEffect(() => {
    const onOver = (event: PointerEvent) => setHovered(hoveredBy(event));
    document.addEventListener("pointerover", onOver);
    return () => document.removeEventListener("pointerover", onOver);
  }, []);
  if (hovered === undefined) return null;
  const { answer, x, y } = hovered;
  const token = answer.tokens[hovered.token];
  const round = answer.rounds[answer.roundOf[hovered.token] ?? -1];
  if (token === undefined || round === undefined) return null;
  const lost = thrownAway(round);
  return (
    <div class="tip" role="tooltip" style={{ left: `${x}px`, top: `${y}px` }}>
      <div>
        {sourceOf(sourceKey(token.source, token.depth)).explanation} · forward {round.forward}
      </div>
      {lost !== "" && (
        <div>
          thrown away: <del>{lost.replaceAll("\n", "⏎")}</del>
        </div>
      )}
    </div>
  );
}

const TIP_WIDTH = 320;

function hoveredBy(event: PointerEvent): Hovered | undefined {
  const element = event.target instanceof Element ? event.target.closest<HTMLElement>(".message [data-token]") : null;
  const article = element?.closest("article");
  const index = [...(article?.parentElement?.querySelectorAll(":scope > article") ?? [])].indexOf(
    article as HTMLElement,
  );
  const message = current.value.messages[index];
  if (element === null || message?.role !== "assistant") return undefined;
  const { left, bottom } = element.getBoundingClientRect();
  const x = Math.max(8, Math.min(left, window.innerWidth - TIP_WIDTH - 8));
  return { answer: message.answer, token: Number(element.dataset.token), x, y: bottom + 6 };
}
