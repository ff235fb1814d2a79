import type { WireRound } from "../../api/wire.ts";
import { layOut, type TreeNode, type Verdict } from "../../rounds/round-tree.ts";
import { sourceOf } from "../../rounds/sources.ts";

const COLUMN = 114;
const LANE = 44;
const BOX = { width: 98, height: 34 };

const verdictText: Readonly<Record<Verdict, string>> = {
  pending: "the token before",
  accepted: "stood",
  rejected: "thrown away: the model draws another token here",
  unreached: "thrown away with the one before",
  drawn: "drawn",
};

/** A round as a tree: what was proposed after the last token, what stood, what was drawn instead. */
export function RoundTreeView({ round, pending }: { readonly round: WireRound; readonly pending: string }) {
  const { nodes, nDepths, nLanes } = layOut(round, pending);
  const size = { width: (nDepths - 1) * COLUMN + BOX.width, height: (nLanes - 1) * LANE + BOX.height };
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, which the keyboard has to reach
    <section class="tree" tabIndex={0} aria-label="Proposals of this forward">
      <div class="tree-area" style={{ width: `${size.width}px`, height: `${size.height}px` }}>
        <svg width={size.width} height={size.height} aria-hidden="true">
          {nodes.map((node, i) => {
            const parent = node.parent === undefined ? undefined : nodes[node.parent];
            return parent && <path key={i} class={`edge ${node.verdict}`} d={edge(parent, node)} />;
          })}
        </svg>
        <ul>
          {nodes.map((node, i) => (
            <li
              key={i}
              class={`node ${node.verdict} source-${sourceOf(node.source).key}`}
              style={{ left: `${node.depth * COLUMN}px`, top: `${node.lane * LANE}px`, width: `${BOX.width}px` }}
              title={`${sourceOf(node.source).label}: ${verdictText[node.verdict]}`}
            >
              <span class="node-text">{visible(node.text)}</span>
              <span class="node-note">
                {note(node)}
                <span class="hidden">, {verdictText[node.verdict]}</span>
              </span>
            </li>
          ))}
        </ul>
      </div>
    </section>
  );
}

function note({ verdict, probability, source }: TreeNode): string {
  if (verdict === "pending") return "before";
  if (verdict === "drawn") return "drawn";
  const { label, short = label } = sourceOf(source);
  return probability === undefined ? short : `${percent(probability)} ${short}`;
}

function percent(share: number): string {
  return share < 0.005 ? "<1 %" : `${Math.round(100 * share)} %`;
}

/** Spaces and line ends of a token are part of it. */
export function visible(text: string): string {
  return text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replace(/^ | $/g, "␣") || "∅";
}

function edge(from: TreeNode, to: TreeNode): string {
  const [x1, y1] = [from.depth * COLUMN + BOX.width, from.lane * LANE + BOX.height / 2];
  const [x2, y2] = [to.depth * COLUMN, to.lane * LANE + BOX.height / 2];
  const middle = (x1 + x2) / 2;
  return `M${x1},${y1}C${middle},${y1} ${middle},${y2} ${x2},${y2}`;
}
