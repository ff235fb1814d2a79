export { Dict, DictView, hashKey, Tuple } from "./containers.ts";
export {
  integerOf,
  isIterable,
  isNumber,
  isTrue,
  iterate,
  lengthOfValue,
  listOf,
  smallInteger,
  typeName,
} from "./conversion.ts";
export { PyIterator, Range } from "./iterables.ts";
export { Markup, plain } from "./markup.ts";
export { Namespace, PyFunction, Slice } from "./objects.ts";
export { Undefined } from "./undefined.ts";
export { type CallArguments, PyObject, type Runtime, type Value } from "./value.ts";
