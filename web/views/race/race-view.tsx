import { useRef, useState } from "preact/hooks";
import { differenceOf } from "../../race/difference.ts";
import { decodeMsOf, type Outcome, outcomeOf, type Race, type Side } from "../../race/race.ts";
import { Lane } from "./lane.tsx";
import { plan, race, startRace, stopRunning } from "./race-state.ts";

const sides = ["plain", "proposing"] as const;

/** The same request plainly and with proposals, by turns on the same machine. */
export function RaceView() {
  const state = race.value;
  const outcome = outcomeOf(state);
  const [replayMs, setReplayMs] = useState<number>();
  const replaying = useRef(0);
  // Of the laps that are shown: the last one of each side.
  const shown = sides.flatMap((side) => state.laps.findLast((lap) => lap.side === side) ?? []);
  const longest = Math.max(1, ...shown.map(decodeMsOf));
  const replay = () => {
    cancelAnimationFrame(replaying.current);
    const start = performance.now();
    const step = (now: number) => {
      const ms = now - start;
      setReplayMs(ms < longest ? ms : undefined);
      if (ms < longest) replaying.current = requestAnimationFrame(step);
    };
    step(start);
  };
  return (
    <main class="page race" aria-label="Race">
      <h2>The same request, plainly and with proposals</h2>
      <p class="muted">By turns, never at once. Only decoding counts: the second run finds the prompt in the cache.</p>
      <RaceForm isRunning={state.status === "running"} />
      {state.problem !== undefined && (
        <p class="problem" role="alert">
          {state.problem}
        </p>
      )}
      <div aria-live="polite">{outcome && <OutcomeCard outcome={outcome} race={state} onReplay={replay} />}</div>
      <div class="lanes">
        {sides.map((side) => (
          <Lane key={side} side={side} race={state} longestMs={longest} replayMs={replayMs} />
        ))}
      </div>
    </main>
  );
}

function RaceForm({ isRunning }: { readonly isRunning: boolean }) {
  const { messages, settings, rounds } = plan.value;
  const last = messages.at(-1);
  const change = (changes: Partial<typeof settings>) => {
    plan.value = { ...plan.value, settings: { ...settings, ...changes } };
  };
  return (
    <form
      class="race-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (isRunning) stopRunning();
        else void startRace();
      }}
    >
      <label class="grow">
        Question {messages.length > 1 && <span class="muted">(after {messages.length - 1} earlier messages)</span>}
        <textarea
          rows={2}
          value={last?.role === "user" ? last.content : ""}
          onInput={({ currentTarget: { value } }) => {
            plan.value = { ...plan.value, messages: [...messages.slice(0, -1), { role: "user", content: value }] };
          }}
        />
      </label>
      <NumberField label="Max tokens" name="max_completion_tokens" min={2} max={4096} />
      <NumberField label="Temperature" name="temperature" min={0} max={2} />
      <label>
        Verification
        <select
          value={settings.choices.verify ?? "exact"}
          onChange={({ currentTarget: { value } }) => {
            const { verify: _, ...others } = settings.choices;
            change({ choices: value === "exact" ? others : { ...others, verify: value } });
          }}
        >
          <option>exact</option>
          <option>rejection</option>
          <option>relaxed</option>
        </select>
      </label>
      <label>
        Runs of each
        <select
          value={String(rounds)}
          onChange={({ currentTarget: { value } }) => {
            plan.value = { ...plan.value, rounds: Number(value) };
          }}
        >
          <option>1</option>
          <option>3</option>
          <option>5</option>
        </select>
      </label>
      <button type="submit" class="primary">
        {isRunning ? "Stop" : "Start the race"}
      </button>
    </form>
  );
}

interface NumberFieldProps {
  readonly label: string;
  /** The key of the API. */
  readonly name: string;
  readonly min: number;
  readonly max: number;
}

function NumberField({ label, name, min, max }: NumberFieldProps) {
  const { settings } = plan.value;
  return (
    <label>
      {label}
      <input
        type="number"
        {...{ min, max, step: "any" }}
        value={settings.numbers[name] ?? ""}
        onInput={({ currentTarget: { value, valueAsNumber } }) => {
          const { [name]: _, ...others } = settings.numbers;
          const numbers = value === "" ? others : { ...others, [name]: valueAsNumber };
          plan.value = { ...plan.value, settings: { ...settings, numbers } };
        }}
      />
    </label>
  );
}

interface OutcomeProps {
  readonly outcome: Outcome;
  readonly race: Race;
  readonly onReplay: () => void;
}

function OutcomeCard({ outcome, race: state, onReplay }: OutcomeProps) {
  const { sameBytes, speedUp, tokensPerForward, overhead, lossless } = outcome;
  const text = (side: Side) => state.laps.findLast((lap) => lap.side === side && lap.isFinished)?.text ?? "";
  return (
    <section class={`outcome ${sameBytes ? "same" : "other"}`} aria-label="Outcome">
      <div class="verdicts">
        <strong>
          {sameBytes ? "Same bytes" : lossless ? "Other bytes" : "Other bytes, as relaxed verification allows"}
        </strong>
        <strong>{speedUp.toFixed(2)} × as fast</strong>
        {state.order.length > 2 && <span class="muted small">medians of {state.order.length / 2} runs of each</span>}
      </div>
      <p>
        {tokensPerForward.toFixed(2)} tokens per forward, and a forward with proposals takes {overhead.toFixed(2)} × as
        long as a plain one: {tokensPerForward.toFixed(2)} / {overhead.toFixed(2)} = {speedUp.toFixed(2)}.
      </p>
      {!sameBytes && <DifferenceText left={text("plain")} right={text("proposing")} />}
      <button type="button" class="replay" onClick={onReplay}>
        Replay side by side
      </button>
    </section>
  );
}

/** Characters shown before and after the place where two texts part. */
const AROUND = 120;

function DifferenceText({ left, right }: { readonly left: string; readonly right: string }) {
  const difference = differenceOf(left, right);
  const common = difference.common.length > AROUND ? `…${difference.common.slice(-AROUND)}` : difference.common;
  const cut = (text: string) => (text.length > AROUND ? `${text.slice(0, AROUND)}…` : text || "(ends)");
  return (
    <dl class="difference">
      <div>
        <dt>the same for {difference.common.length} characters, then</dt>
        <dd>{common}</dd>
      </div>
      <div>
        <dt>plain</dt>
        <dd>{cut(difference.left)}</dd>
      </div>
      <div>
        <dt>with proposals</dt>
        <dd>{cut(difference.right)}</dd>
      </div>
    </dl>
  );
}
