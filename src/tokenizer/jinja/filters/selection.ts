import { type CallArguments, isTrue, type Value } from "../values/index.ts";
import { argumentError, attributeGetter, eachItem, type Filter, free, generator } from "./filter.ts";

const rest = ({ positional, named }: CallArguments, from: number): CallArguments => ({
  positional: positional.slice(from),
  named,
});

function select(name: string, byAttribute: boolean, isRejecting: boolean): Filter {
  return free((value, args, runtime) =>
    generator(function* () {
      if (!isTrue(value)) return undefined;
      const offset = byAttribute ? 1 : 0;
      if (byAttribute && args.positional.length === 0)
        throw argumentError(`${name}: Missing parameter for attribute name`);
      const get = byAttribute ? attributeGetter(args.positional[0], runtime) : (item: Value) => item;
      const test = args.positional[offset];
      for (const item of eachItem(value, runtime)) {
        const looked = get(item);
        const result = test === undefined ? looked : runtime.test(test, looked, rest(args, offset + 1));
        if (isTrue(result) !== isRejecting) yield item;
      }
      return undefined;
    }),
  );
}

const map: Filter = free((value, args, runtime) =>
  generator(function* () {
    if (!isTrue(value)) return undefined;
    let apply: (item: Value) => Value;
    const attribute = args.named.get("attribute");
    if (args.positional.length === 0 && attribute !== undefined) {
      for (const name of args.named.keys()) {
        if (name !== "attribute" && name !== "default") throw argumentError(`Unexpected keyword argument '${name}'`);
      }
      apply = attributeGetter(attribute, runtime, args.named.get("default") ?? null);
    } else {
      const [name] = args.positional;
      if (name === undefined) throw argumentError("map requires a filter argument");
      apply = (item) => runtime.filter(name, item, rest(args, 1));
    }
    for (const item of eachItem(value, runtime)) yield apply(item);
    return undefined;
  }),
);

/** Filters that apply other filters and tests to the items of a sequence. */
export const selectionFilters: Readonly<Record<string, Filter>> = {
  map,
  reject: select("reject", false, true),
  rejectattr: select("rejectattr", true, true),
  select: select("select", false, false),
  selectattr: select("selectattr", true, false),
};
