/** Nodes of a template, as in Jinja2's `nodes.py`. */
export type Expression =
  | { readonly kind: "constant"; readonly value: null | boolean | bigint | number | string }
  | { readonly kind: "name"; readonly name: string; readonly line: number }
  | { readonly kind: "tuple" | "list"; readonly items: readonly Expression[] }
  | { readonly kind: "dict"; readonly pairs: readonly (readonly [Expression, Expression])[] }
  | {
      readonly kind: "binary";
      readonly operator: BinaryOperator;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly kind: "unary"; readonly operator: "+" | "-"; readonly value: Expression }
  | { readonly kind: "not"; readonly value: Expression }
  | { readonly kind: "and" | "or"; readonly left: Expression; readonly right: Expression }
  | { readonly kind: "concat"; readonly items: readonly Expression[] }
  | {
      readonly kind: "compare";
      readonly first: Expression;
      readonly rest: readonly { readonly operator: ComparisonOperator; readonly value: Expression }[];
    }
  | {
      readonly kind: "conditional";
      readonly test: Expression;
      readonly consequent: Expression;
      readonly otherwise: Expression | undefined;
      readonly line: number;
    }
  | { readonly kind: "attribute"; readonly object: Expression; readonly name: string }
  | { readonly kind: "item"; readonly object: Expression; readonly index: Expression }
  | {
      readonly kind: "slice";
      readonly start: Expression | undefined;
      readonly stop: Expression | undefined;
      readonly step: Expression | undefined;
    }
  | { readonly kind: "call"; readonly callee: Expression; readonly args: Arguments }
  | FilterNode
  | { readonly kind: "test"; readonly name: string; readonly value: Expression; readonly args: Arguments };

export type BinaryOperator = "+" | "-" | "*" | "/" | "//" | "%" | "**";
export type ComparisonOperator = "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in";

export interface FilterNode {
  readonly kind: "filter";
  readonly name: string;
  /** Undefined in filter and set blocks: the block's text. */
  readonly value: Expression | undefined;
  readonly args: Arguments;
}

export interface Arguments {
  readonly positional: readonly Expression[];
  readonly named: readonly { readonly name: string; readonly value: Expression }[];
  /** `*args` */
  readonly list: Expression | undefined;
  /** `**kwargs` */
  readonly dict: Expression | undefined;
}

export type Target =
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "attribute"; readonly object: string; readonly name: string }
  | { readonly kind: "tuple"; readonly items: readonly Target[] };

export interface Parameter {
  readonly name: string;
  readonly byDefault: Expression | undefined;
}

/** Parameters and body of a macro or a call block. */
export interface MacroBody {
  readonly name: string | undefined;
  readonly parameters: readonly Parameter[];
  readonly body: readonly Statement[];
  /** Whether the body reads `caller`, `kwargs`, `varargs`. */
  readonly usesCaller: boolean;
  readonly usesKwargs: boolean;
  readonly usesVarargs: boolean;
}

export type Statement =
  | { readonly kind: "data"; readonly text: string }
  | { readonly kind: "output"; readonly value: Expression; readonly isConstant: boolean }
  | {
      readonly kind: "for";
      readonly target: Target;
      readonly iterable: Expression;
      readonly test: Expression | undefined;
      readonly isRecursive: boolean;
      readonly body: readonly Statement[];
      readonly otherwise: readonly Statement[];
    }
  | {
      readonly kind: "if";
      readonly branches: readonly { readonly test: Expression | undefined; readonly body: readonly Statement[] }[];
    }
  | { readonly kind: "set"; readonly target: Target; readonly value: Expression }
  | {
      readonly kind: "set-block";
      readonly target: Target;
      readonly filter: FilterNode | undefined;
      readonly body: readonly Statement[];
    }
  | { readonly kind: "macro"; readonly macro: MacroBody & { readonly name: string } }
  | { readonly kind: "call"; readonly call: Expression & { readonly kind: "call" }; readonly macro: MacroBody }
  | { readonly kind: "generation"; readonly macro: MacroBody }
  | { readonly kind: "filter"; readonly filter: FilterNode; readonly body: readonly Statement[] }
  | {
      readonly kind: "with";
      readonly assignments: readonly { readonly target: Target; readonly value: Expression }[];
      readonly body: readonly Statement[];
    }
  | { readonly kind: "block"; readonly name: string; readonly isScoped: boolean; readonly isRequired: boolean }
  | { readonly kind: "break" | "continue" }
  | { readonly kind: "load"; readonly what: "extends" | "include" | "import" | "from" };

export interface Template {
  readonly body: readonly Statement[];
  readonly blocks: ReadonlyMap<string, readonly Statement[]>;
}
