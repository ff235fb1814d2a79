import type { WireLogprob } from "../../api/wire.ts";
import type { Answer } from "../../conversation/answer.ts";
import { visible } from "./round-tree-view.tsx";

/** What the base model thought of each token of a round, and of its likeliest rivals. */
export function Rivals({ answer, round }: { readonly answer: Answer; readonly round: number }) {
  const first = answer.roundOf.indexOf(round);
  const found = answer.roundOf.flatMap((of, i) => (of === round && answer.logprobs[i] ? [answer.logprobs[i]] : []));
  if (found.length === 0 || first < 0) return null;
  return (
    <details class="rivals">
      <summary>Rivals: what the base model found likely here</summary>
      {found.map((entry, i) => (
        <TokenRivals key={i} entry={entry} />
      ))}
    </details>
  );
}

function TokenRivals({ entry }: { readonly entry: WireLogprob }) {
  const { token, logprob, top_logprobs: top = [] } = entry;
  const isListed = top.some((rival) => rival.token === token);
  const all = isListed ? top : [...top, { token, logprob }];
  return (
    <table>
      <caption>
        In place of <code>{visible(token)}</code>
      </caption>
      <tbody>
        {all.map((rival, i) => (
          <tr key={i} class={rival.token === token ? "chosen" : ""}>
            <th scope="row">
              <code>{visible(rival.token)}</code>
            </th>
            <td class="share">
              <span class="track">
                <span class="fill" style={{ width: `${100 * Math.exp(rival.logprob)}%` }} />
              </span>
            </td>
            <td>{(100 * Math.exp(rival.logprob)).toFixed(1)} %</td>
            <td class="muted">{rival.logprob.toFixed(2)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
