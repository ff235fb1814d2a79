import type { Answer } from "../../conversation/answer.ts";
import { sourceKeys, sourceOf } from "../../rounds/sources.ts";
import { type Statistics, statisticsOf } from "../../rounds/statistics.ts";
import { frame, selection } from "../../state.ts";
import { Charts } from "./charts.tsx";
import { Rivals } from "./rivals.tsx";
import { RoundTreeView } from "./round-tree-view.tsx";
import { Strip } from "./strip.tsx";

/** How the selected answer came about, live. */
export function RoundsPanel() {
  const { answer, round } = selection.value;
  if (answer?.isRunning) frame.value;
  return (
    <section class="rounds" aria-label="Rounds">
      {answer === undefined || answer.rounds.length === 0 ? (
        <Key />
      ) : (
        <Rounds answer={answer} selected={Math.min(round ?? Number.POSITIVE_INFINITY, answer.rounds.length - 1)} />
      )}
    </section>
  );
}

/** What the colours mean, while there is nothing to show. */
function Key() {
  return (
    <>
      <h2>Rounds</h2>
      <p class="muted">
        Each forward of the model is a round. While an answer is generated, this shows what each one proposed, what
        stood and what was thrown away. The colour of a token says where it came from:
      </p>
      <dl class="key">
        {sourceKeys.map((key) => (
          <div key={key}>
            <dt>
              <span class={`token source-${key}`}>{sourceOf(key).label}</span>
            </dt>
            <dd class="muted">{sourceOf(key).explanation}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}

function Rounds({ answer, selected }: { readonly answer: Answer; readonly selected: number }) {
  const { rounds } = answer;
  const statistics = statisticsOf(rounds);
  const round = rounds[selected];
  const pending = rounds[selected - 1]?.tokens.at(-1)?.text;
  if (round === undefined) return null;
  const select = (index: number) => {
    selection.value = { answer, round: index };
  };
  return (
    <>
      <h2 class="hidden">Rounds</h2>
      <Figures statistics={statistics} />
      <Sources statistics={statistics} />
      <h3>
        Forwards <span class="muted">one column each, one cell per row</span>
      </h3>
      <Strip rounds={rounds} selected={selected} onSelect={select} />
      <StripLegend />
      <div class="row round-head">
        <h3>
          Forward {round.forward}{" "}
          <span class="muted">
            {round.rows} {round.rows === 1 ? "row" : "rows"}, {round.ms.toFixed(1)} ms, {round.tokens.length}{" "}
            {round.tokens.length === 1 ? "token" : "tokens"}
          </span>
        </h3>
        <button
          type="button"
          class="quiet"
          aria-label="Forward before"
          disabled={selected === 0}
          onClick={() => select(selected - 1)}
        >
          ←
        </button>
        <button
          type="button"
          class="quiet"
          aria-label="Forward after"
          disabled={selected === rounds.length - 1}
          onClick={() => select(selected + 1)}
        >
          →
        </button>
      </div>
      <RoundTreeView round={round} pending={pending ?? "prompt"} />
      <Rivals answer={answer} round={selected} />
      <Charts rounds={rounds} nRounds={rounds.length} />
      <Depths statistics={statistics} />
    </>
  );
}

function StripLegend() {
  return (
    <ul class="legend muted">
      <li>
        <span class="swatch source-mask-1" aria-hidden="true" />
        stood
      </li>
      <li>
        <span class="swatch rejected" aria-hidden="true" />
        thrown away
      </li>
      <li>
        <span class="swatch ahead" aria-hidden="true" />
        MASK row
      </li>
      <li>
        <span class="swatch time" aria-hidden="true" />
        time
      </li>
    </ul>
  );
}

function Figures({ statistics }: { readonly statistics: Statistics }) {
  const { tokensPerForward, tokensPerSecond, accepted, proposed } = statistics;
  return (
    <dl class="figures">
      <div>
        <dt>tokens per forward</dt>
        <dd>{tokensPerForward.toFixed(2)}</dd>
      </div>
      <div>
        <dt>tokens/s</dt>
        <dd>{tokensPerSecond.toFixed(0)}</dd>
      </div>
      <div>
        <dt>proposals that stood</dt>
        <dd>
          {accepted} <small>of {proposed}</small>
        </dd>
      </div>
    </dl>
  );
}

/** Where the text came from, as a bar with its legend. */
function Sources({ statistics: { bySource, tokens } }: { readonly statistics: Statistics }) {
  const keys = [...bySource.keys()].sort((a, b) => rank(a) - rank(b));
  return (
    <div class="sources">
      <div class="bar" aria-hidden="true">
        {keys.map((key) => (
          <span key={key} class={`fill source-${sourceOf(key).key}`} style={{ flexGrow: bySource.get(key) ?? 0 }} />
        ))}
      </div>
      <ul class="legend">
        {keys.map((key) => {
          const { label, explanation, key: colour } = sourceOf(key);
          const count = bySource.get(key) ?? 0;
          return (
            <li key={key} title={explanation}>
              <span class={`swatch source-${colour}`} aria-hidden="true" />
              {label} <b>{count}</b> <span class="muted">{Math.round((100 * count) / tokens)} %</span>
            </li>
          );
        })}
      </ul>
    </div>
  );
}

function rank(key: string): number {
  const at = sourceKeys.indexOf(key);
  return at < 0 ? sourceKeys.length : at;
}

/** Acceptance by depth: of the rounds that came so far, how many went on. */
function Depths({ statistics: { byDepth } }: { readonly statistics: Statistics }) {
  if (byDepth.length === 0) return null;
  return (
    <>
      <h3>
        Acceptance by depth <span class="muted">where all before it stood</span>
      </h3>
      <ol class="depths">
        {byDepth.map(({ reached, accepted }, i) => (
          <li key={i}>
            <span>{i + 1}</span>
            <span class="track" aria-hidden="true">
              <span
                class={`fill source-mask-${Math.min(i + 1, 3)}`}
                style={{ width: `${(100 * accepted) / reached}%` }}
              />
            </span>
            <span>
              {((100 * accepted) / reached).toFixed(0)} % <span class="muted">of {reached}</span>
            </span>
          </li>
        ))}
      </ol>
    </>
  );
}
