import { lexer, type MarkedToken, type Token } from "marked";
import { Component, type ComponentChildren, type VNode } from "preact";
import { type Paint, Painter } from "./painter.tsx";

interface MarkdownProps {
  /** The whole text that the token spans refer to. */
  readonly source: string;
  /** Where the shown part begins. */
  readonly start: number;
  readonly paint: Paint;
}

/**
 * Text as Markdown. It becomes elements of the page's own, never HTML, so nothing in it can act; images are named, not
 * fetched. Finished blocks are not rendered again while the last one grows.
 */
export function Markdown({ source, start, paint }: MarkdownProps) {
  let at = start;
  const blocks = lexer(source.slice(start)).map((token, i) => {
    const from = at;
    at += token.raw.length;
    return token.type === "space" ? null : (
      <Block key={i} token={token} source={source} start={from} end={at} paint={paint} />
    );
  });
  return <>{blocks}</>;
}

interface BlockProps {
  readonly token: Token;
  readonly source: string;
  readonly start: number;
  readonly end: number;
  readonly paint: Paint;
}

class Block extends Component<BlockProps> {
  override shouldComponentUpdate(next: BlockProps): boolean {
    const { token, start, end, paint } = this.props;
    if (token.raw !== next.token.raw || start !== next.start || paint.style !== next.paint.style) return true;
    return !(paint.paintedTo >= end && next.paint.paintedTo >= end);
  }

  override render({ token, source, start, end, paint }: BlockProps) {
    return blockOf(token as MarkedToken, new Painter(source, start, end, paint));
  }
}

function blockOf(token: MarkedToken, painter: Painter): VNode | ComponentChildren {
  switch (token.type) {
    case "heading": {
      // The page has headings of its own above.
      const Heading = `h${Math.min(6, token.depth + 2)}` as "h3";
      return <Heading>{inlines(token.tokens, painter)}</Heading>;
    }
    case "paragraph":
      return <p>{inlines(token.tokens, painter)}</p>;
    case "blockquote":
      return <blockquote>{blocks(token.tokens, painter)}</blockquote>;
    case "code":
      return (
        <pre>
          <code>{painter.paint(token.text)}</code>
        </pre>
      );
    case "list": {
      const items = token.items.map((item, i) => <li key={i}>{blocks(item.tokens, painter)}</li>);
      return token.ordered ? <ol start={Number(token.start) || 1}>{items}</ol> : <ul>{items}</ul>;
    }
    case "table":
      return tableOf(token, painter);
    case "hr":
      return <hr />;
    case "text":
      return token.tokens ? inlines(token.tokens, painter) : painter.paint(token.text);
    case "html":
      return <p>{painter.paint(token.text)}</p>;
    case "space":
    case "def":
      return null;
    default:
      return <p>{painter.paint(token.raw)}</p>;
  }
}

function blocks(tokens: readonly Token[], painter: Painter) {
  return tokens.map((token) => blockOf(token as MarkedToken, painter));
}

function tableOf(token: Extract<MarkedToken, { type: "table" }>, painter: Painter) {
  return (
    <table>
      <thead>
        <tr>
          {token.header.map((cell, i) => (
            <th key={i}>{inlines(cell.tokens, painter)}</th>
          ))}
        </tr>
      </thead>
      <tbody>
        {token.rows.map((row, r) => (
          <tr key={r}>
            {row.map((cell, i) => (
              <td key={i}>{inlines(cell.tokens, painter)}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function inlines(tokens: readonly Token[] | undefined, painter: Painter): ComponentChildren[] {
  return (tokens ?? []).map((token) => inlineOf(token as MarkedToken, painter));
}

function inlineOf(token: MarkedToken, painter: Painter): ComponentChildren {
  switch (token.type) {
    case "strong":
      return <strong>{inlines(token.tokens, painter)}</strong>;
    case "em":
      return <em>{inlines(token.tokens, painter)}</em>;
    case "del":
      return <s>{inlines(token.tokens, painter)}</s>;
    case "codespan":
      return <code>{painter.paint(token.text)}</code>;
    case "br":
      return <br />;
    case "link":
      return linkOf(token.href, inlines(token.tokens, painter));
    case "image":
      return linkOf(token.href, painter.paint(token.text || "image"));
    case "text":
      return token.tokens ? inlines(token.tokens, painter) : painter.paint(token.text);
    case "escape":
      return painter.paint(token.text);
    default:
      return painter.paint(token.raw);
  }
}

/** A link where its address is one of the web; else its text. */
function linkOf(href: string, children: ComponentChildren): ComponentChildren {
  if (!/^(https?:|mailto:)/i.test(href)) return children;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer">
      {children}
    </a>
  );
}
