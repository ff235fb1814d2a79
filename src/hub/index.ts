export { adapterFor, catalogue, findEntry } from "./catalogue.ts";
export { cachedPath, pull } from "./pull.ts";
export { type ModelLocation, resolveModel } from "./resolve-model.ts";
