import { quoted } from "../strings/text.ts";
import { iterate, lengthOfValue } from "./conversion.ts";
import { PyObject, type Value } from "./value.ts";

/**
 * Text that `escape` and `safe` made (markupsafe's `Markup`): a string, to which other strings are only added escaped.
 */
export class Markup extends PyObject {
  override readonly typeName = "Markup";
  readonly text: string;

  constructor(text: string) {
    super();
    this.text = text;
  }

  /** Without counting characters. */
  override get isTrue(): boolean {
    return this.text !== "";
  }

  override get length(): number | undefined {
    return lengthOfValue(this.text);
  }

  override iterate(): Iterator<Value> {
    return iterate(this.text);
  }

  override show(): string {
    return `Markup(${quoted(this.text)})`;
  }
}

/** A string instead of markup. */
export function plain(value: Value): Value {
  return value instanceof Markup ? value.text : value;
}
