import type { Expression, MacroBody, Parameter, Statement, Template } from "./ast.ts";
import { isConstant } from "./constant.ts";
import { type Callables, ExpressionParser } from "./expression-parser.ts";
import { tokenize } from "./lexer.ts";

/** @throws TemplateSyntaxError. */
export function parseTemplate(source: string, callables: Callables): Template {
  return new Parser(tokenize(source), callables).parse();
}

/** Statements, by Jinja2's grammar, with loop controls and transformers' `generation` tag. */
class Parser extends ExpressionParser {
  readonly #blocks = new Map<string, readonly Statement[]>();
  /** Loops around a statement in the same function, which `break` may leave. */
  #nLoops = 0;
  /** Loops around a statement; inside them `loop` cannot be assigned. */
  #nOuterLoops = 0;

  parse(): Template {
    const body = this.#parseBody(undefined);
    this.checkUnknown();
    return { body, blocks: this.#blocks };
  }

  /** Statements up to one of the end tags, which is not read. */
  #parseBody(ends: readonly string[] | undefined): Statement[] {
    const body: Statement[] = [];
    for (;;) {
      const token = this.next();
      if (token.type === "data") body.push({ kind: "data", text: token.text });
      else if (token.type === "variable_begin") {
        body.push(output(this.parseTuple()));
        this.expect("variable_end");
      } else if (token.type === "block_begin") {
        if (ends !== undefined && this.isName(...ends)) return body;
        body.push(...this.#parseStatement());
        this.expect("block_end");
      } else {
        if (ends === undefined) return body;
        throw this.fail(`Unexpected end of template, expected ${ends.join(" or ")}`, token.line);
      }
    }
  }

  /** The statements of a block, after its head; its end tag is left current unless `takesEnd`. */
  #parseInner(ends: readonly string[], takesEnd = true): Statement[] {
    this.skip(":");
    this.expect("block_end");
    const body = this.#parseBody(ends);
    if (takesEnd) this.next();
    return body;
  }

  /** The body of a loop, macro or block, which has variables of its own. */
  #parseFrame<Result>(parse: () => Result): Result {
    const mark = this.mark();
    const result = parse();
    this.markFrame(mark);
    return result;
  }

  /** A body that Jinja2 compiles to a function: `break` cannot leave a loop outside of it. */
  #parseFunction<Result>(parse: () => Result): Result {
    const nLoops = this.#nLoops;
    this.#nLoops = 0;
    const result = this.#parseFrame(parse);
    this.#nLoops = nLoops;
    return result;
  }

  #parseStatement(): Statement[] {
    if (this.current.type !== "name") throw this.fail("tag name expected");
    const { text: tag, line } = this.next();
    switch (tag) {
      case "for":
        return [this.#parseFor(line)];
      case "if":
        return [this.#parseIf()];
      case "set":
        return [this.#parseSet(line)];
      case "print":
        return this.#parsePrint();
      case "macro": {
        const name = this.parseTargetName();
        return [{ kind: "macro", macro: { ...this.#parseMacro(["endmacro"], true), name } }];
      }
      case "call":
        return [this.#parseCall(line)];
      case "filter": {
        const filter = this.#parseFrame(() => this.parseFilter(undefined, true));
        if (filter === undefined) throw this.fail("expected a filter", line);
        return [{ kind: "filter", filter, body: this.#parseFrame(() => this.#parseInner(["endfilter"])) }];
      }
      case "with":
        return [this.#parseWith()];
      case "block":
        return [this.#parseBlock(line)];
      case "generation":
        // A call block, whose caller has no arguments.
        return [{ kind: "generation", macro: this.#parseMacro(["endgeneration"], false) }];
      case "break":
      case "continue":
        if (this.#nLoops === 0) throw this.fail(`'${tag}' outside loop`, line);
        return [{ kind: tag }];
      case "extends":
      case "include":
      case "import":
      case "from":
        return [this.#parseLoad(tag)];
      case "autoescape": {
        const value = this.parseExpression();
        if (value.kind !== "constant" || value.value !== false) throw this.fail("autoescape is not supported", line);
        return [{ kind: "with", assignments: [], body: this.#parseFrame(() => this.#parseInner(["endautoescape"])) }];
      }
      default:
        throw this.fail(`Encountered unknown tag '${tag}'.`, line);
    }
  }

  #parseFor(line: number): Statement {
    this.#nOuterLoops++;
    const target = this.parseTarget();
    if (!this.skipName("in")) throw this.fail(`expected 'in', got ${this.shown()}`);
    const iterable = this.parseTuple({ parse: () => this.parseOr() });
    const test = this.skipName("if") ? this.#parseFrame(() => this.parseExpression()) : undefined;
    const isRecursive = this.skipName("recursive");
    // A recursive loop is a function, but its own body is inside its loop.
    this.#nLoops++;
    const body = this.#parseFrame(() => this.#parseInner(["endfor", "else"], false));
    this.#nLoops--;
    const hasElse = this.next().text === "else";
    const parseElse = () => this.#parseFrame(() => this.#parseInner(["endfor"]));
    const otherwise = !hasElse ? [] : isRecursive ? this.#parseFunction(parseElse) : parseElse();
    this.#nOuterLoops--;
    if (namesOf(target).includes("loop")) {
      throw this.fail("Can't assign to special loop variable in for-loop target", line);
    }
    return { kind: "for", target, iterable, test, isRecursive, body, otherwise };
  }

  #parseIf(): Statement {
    const mark = this.mark();
    const branches: { readonly test: Expression | undefined; readonly body: readonly Statement[] }[] = [];
    for (let tag = "if"; tag !== "endif"; ) {
      const test = tag === "else" ? undefined : this.parseTuple({ parse: () => this.parseOr() });
      const body = this.#parseInner(tag === "else" ? ["endif"] : ["elif", "else", "endif"], false);
      branches.push({ test, body });
      tag = this.next().text;
    }
    this.markBranch(mark);
    return { kind: "if", branches };
  }

  #parseSet(line: number): Statement {
    const target = this.parseTarget(true);
    if (this.#nOuterLoops > 0 && namesOf(target).includes("loop")) {
      throw this.fail("Can't assign to special loop variable in for-loop target", line);
    }
    if (this.skip("=")) return { kind: "set", target, value: this.parseTuple() };
    const filter = this.#parseFrame(() => this.parseFilter(undefined));
    return { kind: "set-block", target, filter, body: this.#parseFrame(() => this.#parseInner(["endset"])) };
  }

  #parsePrint(): Statement[] {
    const outputs: Statement[] = [];
    while (this.current.type !== "block_end") {
      if (outputs.length > 0) this.expect(",");
      outputs.push(output(this.parseExpression()));
    }
    return outputs;
  }

  #parseMacro(ends: readonly string[], hasSignature: boolean, readHead?: () => void): MacroBody {
    const reads = { names: new Set<string>(), set: new Set<string>() };
    return this.#parseFunction(() => {
      const { line } = this.current;
      const parameters = hasSignature ? this.#parseSignature() : [];
      readHead?.();
      this.reads.push(reads);
      const body = this.#parseInner(ends);
      this.reads.pop();
      const caller = parameters.find(({ name }) => name === "caller");
      if (reads.names.has("caller") && caller !== undefined && caller.byDefault === undefined) {
        throw this.fail('the special "caller" argument must be omitted or be given a default.', line);
      }
      const reading = (name: string) =>
        reads.names.has(name) && !parameters.some((parameter) => parameter.name === name);
      return {
        name: undefined,
        parameters,
        body,
        usesCaller: reading("caller"),
        usesKwargs: reading("kwargs"),
        usesVarargs: reading("varargs"),
      };
    });
  }

  #parseSignature(): Parameter[] {
    this.expect("(");
    const parameters: Parameter[] = [];
    while (this.current.type !== ")") {
      if (parameters.length > 0) this.expect(",");
      const name = this.parseTargetName();
      this.markSet(name);
      const byDefault = this.skip("=") ? this.parseExpression() : undefined;
      if (byDefault === undefined && parameters.some((parameter) => parameter.byDefault !== undefined)) {
        throw this.fail("non-default argument follows default argument");
      }
      parameters.push({ name, byDefault });
    }
    this.expect(")");
    return parameters;
  }

  #parseCall(line: number): Statement {
    const calls: Expression[] = [];
    const macro = this.#parseMacro(["endcall"], this.current.type === "(", () => calls.push(this.parseExpression()));
    const [call] = calls;
    if (call?.kind !== "call") throw this.fail("expected call", line);
    return { kind: "call", call, macro };
  }

  #parseWith(): Statement {
    const assignments: { readonly target: ReturnType<Parser["parseTarget"]>; readonly value: Expression }[] = [];
    while (this.current.type !== "block_end") {
      if (assignments.length > 0) this.expect(",");
      const target = this.parseTarget();
      this.expect("=");
      assignments.push({ target, value: this.parseExpression() });
    }
    return { kind: "with", assignments, body: this.#parseFrame(() => this.#parseInner(["endwith"])) };
  }

  #parseBlock(line: number): Statement {
    const name = this.expect("name").text;
    const isScoped = this.skipName("scoped");
    const isRequired = this.skipName("required");
    const body = this.#parseFunction(() => this.#parseInner(["endblock"]));
    if (isRequired && body.some((part) => part.kind !== "data" || part.text.trim() !== "")) {
      throw this.fail("Required blocks can only contain comments or whitespace", line);
    }
    this.skipName(name);
    if (this.#blocks.has(name)) throw this.fail(`block '${name}' defined twice`, line);
    this.#blocks.set(name, body);
    return { kind: "block", name, isScoped, isRequired };
  }

  /** A tag that loads another template, which does not exist: an error when it runs. Its expressions are skipped. */
  #parseLoad(what: "extends" | "include" | "import" | "from"): Statement {
    while (this.current.type !== "block_end" && this.current.type !== "eof") this.next();
    return { kind: "load", what };
  }
}

function output(value: Expression): Statement {
  return { kind: "output", value, isConstant: isConstant(value) };
}

function namesOf(target: ReturnType<Parser["parseTarget"]>): readonly string[] {
  if (target.kind === "tuple") return target.items.flatMap(namesOf);
  return target.kind === "name" ? [target.name] : [];
}
