import { useState } from "preact/hooks";
import type { Answer, ToolCall } from "../../conversation/answer.ts";
import { resend, running, send } from "../../conversation/send.ts";
import { statisticsOf } from "../../rounds/statistics.ts";
import { current, currentId, frame, selection, showRejected, showSources, tab } from "../../state.ts";
import { raceOf } from "../race/race-state.ts";
import { Markdown } from "./markdown.tsx";
import { type Paint, paintRange } from "./painter.tsx";

interface AnswerViewProps {
  readonly answer: Answer;
  readonly index: number;
  readonly isLast: boolean;
}

/** An answer as Markdown, its tokens coloured by source, and what it took. */
export function AnswerView({ answer, index, isLast }: AnswerViewProps) {
  // Once per frame while it grows, and once at its end.
  if (answer.isRunning) frame.value;
  const { answer: selectedAnswer, round } = selection.value;
  const selected = selectedAnswer === answer ? round : undefined;
  const paint: Paint = {
    answer: showSources.value === "yes" ? answer : undefined,
    paintedTo: answer.spans.at(-1)?.end ?? 0,
    style: `${showSources.value} ${showRejected.value} ${selected}`,
    showRejected: showRejected.value === "yes",
    selected,
  };
  const source = answer.reasoning + answer.content;
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the strip of forwards selects the same by keyboard
    <article
      class={`message assistant ${selectedAnswer === answer ? "shown" : ""}`}
      aria-label="Answer"
      aria-busy={answer.isRunning}
      onClick={(event) => selectToken(answer, event.target)}
    >
      {answer.reasoning !== "" && (
        <details open={answer.content === ""}>
          <summary>Reasoning</summary>
          <div class="text">{paintRange(answer.reasoning, 0, answer, paint)}</div>
        </details>
      )}
      <div class="text markdown">
        {answer.status === "waiting" ? (
          <span class="muted">…</span>
        ) : (
          <Markdown source={source} start={answer.reasoning.length} paint={paint} />
        )}
      </div>
      {answer.toolCalls.map((call) => (
        <pre key={call.id} class="call">
          <b>{call.name}</b>({call.arguments})
        </pre>
      ))}
      {isLast && !answer.isRunning && answer.toolCalls.length > 0 && <ToolResults calls={answer.toolCalls} />}
      {answer.problem !== undefined && (
        <p class="problem" role="alert">
          {answer.problem}
        </p>
      )}
      <Facts answer={answer} />
      {!answer.isRunning && <Actions answer={answer} index={index} />}
    </article>
  );
}

/** One line: what the answer took. */
function Facts({ answer }: { readonly answer: Answer }) {
  const { tokens, forwards, tokensPerForward, tokensPerSecond } = statisticsOf(answer.rounds);
  if (forwards === 0) return null;
  const { result, status, finishReason } = answer;
  const facts = [
    `${tokens} tokens in ${forwards} forwards`,
    `${tokensPerForward.toFixed(2)} tokens per forward`,
    `${tokensPerSecond.toFixed(0)} tokens/s`,
    ...(status === "stopped" ? ["stopped"] : finishReason === "length" ? ["ended by length"] : []),
    ...(result?.lossless === false ? ["relaxed: not lossless"] : []),
  ];
  return (
    <p class="facts">
      {facts.join(" · ")}
      {result && (
        <>
          {" · "}
          <abbr title={`SHA-256 of the text: ${result.sha256}`}>SHA-256 {result.sha256.slice(0, 8)}…</abbr>
        </>
      )}
    </p>
  );
}

function Actions({ answer, index }: { readonly answer: Answer; readonly index: number }) {
  const isRunning = running.value.has(currentId.value);
  const { settings, messages } = current.value;
  const seed = settings.numbers.seed ?? 0;
  return (
    <div class="actions small">
      <button
        type="button"
        disabled={isRunning}
        title="Same seed: the same bytes"
        onClick={() => void resend(index, [])}
      >
        Retry
      </button>
      <button
        type="button"
        disabled={isRunning}
        title="Another text, unless the temperature is 0"
        onClick={() => void resend(index, [], { ...settings, numbers: { ...settings.numbers, seed: seed + 1 } })}
      >
        Next seed
      </button>
      <button type="button" onClick={() => void navigator.clipboard?.writeText(answer.content)}>
        Copy
      </button>
      <button
        type="button"
        onClick={() => {
          selection.value = { answer, round: undefined };
          if (window.matchMedia("(max-width: 60rem)").matches) tab.value = "rounds";
        }}
      >
        Rounds
      </button>
      <button
        type="button"
        title="The same request with and without proposals"
        onClick={() => raceOf(messages.slice(0, index), settings)}
      >
        Race
      </button>
    </div>
  );
}

/** Fields for the results of called tools. */
function ToolResults({ calls }: { readonly calls: readonly ToolCall[] }) {
  const [results, setResults] = useState<readonly string[]>(calls.map(() => ""));
  const submit = (event: Event) => {
    event.preventDefault();
    void send(calls.map(({ id }, i) => ({ role: "tool", callId: id, content: results[i] ?? "" })));
  };
  return (
    <form class="tool-results" onSubmit={submit}>
      {calls.map(({ id, name }, i) => (
        <label key={id}>
          Result of {name}
          {calls.length > 1 && ` (${i + 1} of ${calls.length})`}
          <input value={results[i]} onInput={(event) => setResults(results.with(i, event.currentTarget.value))} />
        </label>
      ))}
      <button type="submit">Send {calls.length === 1 ? "result" : "results"}</button>
    </form>
  );
}

function selectToken(answer: Answer, target: EventTarget | null): void {
  const token = target instanceof Element ? target.closest<HTMLElement>("[data-token]") : null;
  const index = Number(token?.dataset.token ?? Number.NaN);
  if (Number.isInteger(index)) selection.value = { answer, round: answer.roundOf[index] };
}
