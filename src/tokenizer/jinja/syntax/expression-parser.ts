import type { Arguments, BinaryOperator, ComparisonOperator, Expression, FilterNode, Target } from "./ast.ts";
import type { Token } from "./lexer.ts";
import { TokenReader } from "./token-reader.ts";

const comparisons: ReadonlySet<string> = new Set(["==", "!=", "<", "<=", ">", ">="]);
const constants: Readonly<Record<string, boolean | null>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
};
const noArguments: Arguments = { positional: [], named: [], list: undefined, dict: undefined };

/** A filter or test that does not exist. Inside a branch that is an error only if it is used. */
interface UnknownCall {
  readonly message: string;
  readonly line: number;
  isCertain: boolean;
}

/** Names of filters and tests. */
export interface Callables {
  readonly filters: ReadonlySet<string>;
  readonly tests: ReadonlySet<string>;
}

/** Expressions, by Jinja2's grammar (`parser.py`). */
export class ExpressionParser extends TokenReader {
  readonly #callables: Callables;
  /** Names that the macros being parsed read, and those that they set before. */
  protected readonly reads: { readonly names: Set<string>; readonly set: Set<string> }[] = [];
  #unknown: UnknownCall[] = [];

  constructor(tokens: readonly Token[], callables: Callables) {
    super(tokens);
    this.#callables = callables;
  }

  /** A filter or test recorded from now on counts as used in a branch, from `markBranch` on. */
  protected mark(): number {
    return this.#unknown.length;
  }

  /** Everything parsed since `mark` is in a branch: unknown filters and tests there are errors only if they are used. */
  protected markBranch(mark: number): void {
    this.#unknown = this.#unknown.filter(({ isCertain }, i) => i < mark || isCertain);
  }

  /** Everything parsed since `mark` is the body of a loop, macro or block, which Jinja2 checks even inside a branch. */
  protected markFrame(mark: number): void {
    for (const call of this.#unknown.slice(mark)) call.isCertain = true;
  }

  protected checkUnknown(): void {
    const [first] = this.#unknown;
    if (first !== undefined) throw this.fail(first.message, first.line);
  }

  /** A target of `set`, `for` and `with`. */
  parseTarget(withNamespace = false): Target {
    const { line } = this.current;
    return this.#toTarget(this.parseTuple({ parse: () => this.#parsePrimary(withNamespace) }), withNamespace, line);
  }

  protected parseTargetName(): string {
    const { text, line } = this.expect("name");
    if (text in constants) throw this.fail("can't assign to 'const'", line);
    return text;
  }

  #toTarget(expression: Expression, withNamespace: boolean, line: number): Target {
    if (expression.kind === "name") {
      for (const { names } of this.reads) if (!this.#readBefore.has(expression)) names.delete(expression.name);
      this.markSet(expression.name);
      return { kind: "name", name: expression.name };
    }
    if (expression.kind === "attribute" && withNamespace && expression.object.kind === "name") {
      return { kind: "attribute", object: expression.object.name, name: expression.name };
    }
    if (expression.kind === "tuple") {
      return { kind: "tuple", items: expression.items.map((item) => this.#toTarget(item, withNamespace, line)) };
    }
    throw this.fail(`can't assign to '${expression.kind}'`, line);
  }

  /** As Jinja2 looks for names: one that is set no longer counts as read. */
  protected markSet(name: string): void {
    for (const { set } of this.reads) set.add(name);
  }

  /** Nodes whose name was read before: when such a node becomes a target, its name still counts as read. */
  readonly #readBefore = new WeakSet<Expression>();

  /** One expression, or a tuple where commas follow. */
  protected parseTuple({
    parse = () => this.parseExpression(),
    isInParentheses = false,
  }: {
    readonly parse?: () => Expression;
    readonly isInParentheses?: boolean;
  } = {}): Expression {
    const items: Expression[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) this.expect(",");
      if (["variable_end", "block_end", ")"].includes(this.current.type)) break;
      items.push(parse());
      if (this.current.type !== ",") break;
      isTuple = true;
    }
    const [first] = items;
    if (!isTuple) {
      if (first !== undefined) return first;
      if (!isInParentheses) throw this.fail(`Expected an expression, got ${this.shown()}`);
    }
    return { kind: "tuple", items };
  }

  protected parseExpression(): Expression {
    const mark = this.mark();
    let result = this.parseOr();
    let { line } = this.current;
    while (this.skipName("if")) {
      const test = this.parseOr();
      const otherwise = this.skipName("else") ? this.parseExpression() : undefined;
      result = { kind: "conditional", test, consequent: result, otherwise, line };
      this.markBranch(mark);
      line = this.current.line;
    }
    return result;
  }

  protected parseOr(): Expression {
    let left = this.#parseAnd();
    while (this.skipName("or")) left = { kind: "or", left, right: this.#parseAnd() };
    return left;
  }

  #parseAnd(): Expression {
    let left = this.#parseNot();
    while (this.skipName("and")) left = { kind: "and", left, right: this.#parseNot() };
    return left;
  }

  #parseNot(): Expression {
    return this.skipName("not") ? { kind: "not", value: this.#parseNot() } : this.#parseComparison();
  }

  #parseComparison(): Expression {
    const first = this.#parseSum();
    const rest: { readonly operator: ComparisonOperator; readonly value: Expression }[] = [];
    for (;;) {
      if (comparisons.has(this.current.type)) {
        const operator = this.next().type as ComparisonOperator;
        rest.push({ operator, value: this.#parseSum() });
      } else if (this.skipName("in")) {
        rest.push({ operator: "in", value: this.#parseSum() });
      } else if (this.isName("not") && this.look().type === "name" && this.look().text === "in") {
        this.next();
        this.next();
        rest.push({ operator: "not in", value: this.#parseSum() });
      } else {
        return rest.length === 0 ? first : { kind: "compare", first, rest };
      }
    }
  }

  #parseSum(): Expression {
    return this.#parseBinary(["+", "-"], () => this.#parseConcat());
  }

  #parseConcat(): Expression {
    const first = this.#parseProduct();
    const items = [first];
    while (this.skip("~")) items.push(this.#parseProduct());
    return items.length === 1 ? first : { kind: "concat", items };
  }

  #parseProduct(): Expression {
    return this.#parseBinary(["*", "/", "//", "%"], () => this.#parsePower());
  }

  /** Jinja2's power associates to the left, and binds less than a sign. */
  #parsePower(): Expression {
    return this.#parseBinary(["**"], () => this.#parseUnary(true));
  }

  #parseBinary(operators: readonly string[], parse: () => Expression): Expression {
    let left = parse();
    while (operators.includes(this.current.type)) {
      const operator = this.next().type as BinaryOperator;
      left = { kind: "binary", operator, left, right: parse() };
    }
    return left;
  }

  #parseUnary(withFilters: boolean): Expression {
    const sign = this.current.type;
    let node: Expression;
    if (sign === "-" || sign === "+") {
      this.next();
      node = { kind: "unary", operator: sign, value: this.#parseUnary(false) };
    } else {
      node = this.#parsePrimary(false);
    }
    node = this.#parsePostfix(node);
    return withFilters ? this.#parseFilters(node) : node;
  }

  #parsePrimary(withNamespace: boolean): Expression {
    const token = this.current;
    if (token.type === "name") {
      this.next();
      const { text, line } = token;
      if (Object.hasOwn(constants, text)) return { kind: "constant", value: constants[text] ?? null };
      const node: Expression = { kind: "name", name: text, line };
      if (this.reads.some(({ names }) => names.has(text))) this.#readBefore.add(node);
      for (const { names, set } of this.reads) if (!set.has(text)) names.add(text);
      if (!withNamespace || !this.skip(".")) return node;
      return { kind: "attribute", object: node, name: this.expect("name").text };
    }
    if (token.type === "string") {
      let value = "";
      while (this.current.type === "string") value += this.next().text;
      return { kind: "constant", value };
    }
    if (token.type === "integer" || token.type === "float") {
      this.next();
      return { kind: "constant", value: token.number ?? 0 };
    }
    if (this.skip("(")) {
      const node = this.parseTuple({ isInParentheses: true });
      this.expect(")");
      return node;
    }
    if (token.type === "[") return { kind: "list", items: this.#parseItems("[", "]", () => this.parseExpression()) };
    if (token.type === "{") {
      const pairs = this.#parseItems("{", "}", (): readonly [Expression, Expression] => {
        const key = this.parseExpression();
        this.expect(":");
        return [key, this.parseExpression()];
      });
      return { kind: "dict", pairs };
    }
    throw this.fail(`unexpected ${this.shown()}`);
  }

  #parseItems<Item>(open: string, close: string, parse: () => Item): Item[] {
    this.expect(open);
    const items: Item[] = [];
    while (this.current.type !== close) {
      if (items.length > 0) this.expect(",");
      if (this.current.type === close) break;
      items.push(parse());
    }
    this.expect(close);
    return items;
  }

  #parsePostfix(start: Expression): Expression {
    let node = start;
    for (;;) {
      if (this.current.type === "." || this.current.type === "[") node = this.#parseSubscript(node);
      else if (this.current.type === "(") node = { kind: "call", callee: node, args: this.parseArguments() };
      else return node;
    }
  }

  #parseFilters(start: Expression): Expression {
    let node = start;
    for (;;) {
      if (this.current.type === "|") node = this.parseFilter(node) ?? node;
      else if (this.isName("is")) node = this.#parseTest(node);
      else if (this.current.type === "(") node = { kind: "call", callee: node, args: this.parseArguments() };
      else return node;
    }
  }

  #parseSubscript(object: Expression): Expression {
    if (this.next().type === ".") {
      const { type, text, number } = this.next();
      if (type === "name") return { kind: "attribute", object, name: text };
      if (type !== "integer") throw this.fail("expected name or number");
      return { kind: "item", object, index: { kind: "constant", value: number ?? 0 } };
    }
    const indices: Expression[] = [];
    while (this.current.type !== "]") {
      if (indices.length > 0) this.expect(",");
      indices.push(this.#parseIndex());
    }
    this.expect("]");
    const [first] = indices;
    const index: Expression = indices.length === 1 && first !== undefined ? first : { kind: "tuple", items: indices };
    return { kind: "item", object, index };
  }

  #parseIndex(): Expression {
    const isEnd = () => [":", "]", ","].includes(this.current.type);
    const part = () => (isEnd() ? undefined : this.parseExpression());
    const start = part();
    if (!this.skip(":")) {
      if (start === undefined) throw this.fail(`unexpected ${this.shown()}`);
      return start;
    }
    const stop = part();
    const step = this.skip(":") ? part() : undefined;
    return { kind: "slice", start, stop, step };
  }

  protected parseArguments(): Arguments {
    const { line } = this.expect("(");
    const positional: Expression[] = [];
    const named: { readonly name: string; readonly value: Expression }[] = [];
    let list: Expression | undefined;
    let dict: Expression | undefined;
    const ensure = (isValid: boolean) => {
      if (!isValid) throw this.fail("invalid syntax for function call expression", line);
    };
    let needsComma = false;
    while (this.current.type !== ")") {
      if (needsComma) {
        this.expect(",");
        if (this.current.type === ")") break;
      }
      if (this.skip("*")) {
        ensure(list === undefined && dict === undefined);
        list = this.parseExpression();
      } else if (this.skip("**")) {
        ensure(dict === undefined);
        dict = this.parseExpression();
      } else if (this.current.type === "name" && this.look().type === "=") {
        ensure(dict === undefined);
        const name = this.next().text;
        this.next();
        ensure(!named.some((other) => other.name === name));
        named.push({ name, value: this.parseExpression() });
      } else {
        ensure(list === undefined && dict === undefined && named.length === 0);
        positional.push(this.parseExpression());
      }
      needsComma = true;
    }
    this.expect(")");
    return { positional, named, list, dict };
  }

  /** A chain of filters; `isStarted`: the first one without "|". */
  protected parseFilter<Value extends Expression | undefined>(value: Value, isStarted = false): FilterNode | Value {
    let node: FilterNode | Value = value;
    for (let isFirst = isStarted; isFirst || this.skip("|"); isFirst = false) {
      const { line } = this.current;
      const name = this.#parseDottedName();
      if (!this.#callables.filters.has(name)) this.#record(`No filter named '${name}'.`, line);
      const args = this.current.type === "(" ? this.parseArguments() : noArguments;
      node = { kind: "filter", name, value: node, args };
    }
    return node;
  }

  #parseTest(value: Expression): Expression {
    this.next();
    const isNegated = this.skipName("not");
    const { line } = this.current;
    const name = this.#parseDottedName();
    if (!this.#callables.tests.has(name)) this.#record(`No test named '${name}'.`, line);
    let args = noArguments;
    if (this.current.type === "(") args = this.parseArguments();
    else if (
      ["name", "string", "integer", "float", "[", "{"].includes(this.current.type) &&
      !this.isName("else", "or", "and")
    ) {
      if (this.isName("is")) throw this.fail("You cannot chain multiple tests with is");
      args = { ...noArguments, positional: [this.#parsePostfix(this.#parsePrimary(false))] };
    }
    const node: Expression = { kind: "test", name, value, args };
    return isNegated ? { kind: "not", value: node } : node;
  }

  #parseDottedName(): string {
    let name = this.expect("name").text;
    while (this.skip(".")) name += `.${this.expect("name").text}`;
    return name;
  }

  #record(message: string, line: number): void {
    this.#unknown.push({ message, line, isCertain: false });
  }
}
