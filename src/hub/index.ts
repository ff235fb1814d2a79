export { cacheFolder } from "./cache-folder.ts";
export { adapterFor, type CatalogueEntry, catalogue, findEntry } from "./catalogue.ts";
export { cachedPath, type PullOptions, type PullProgress, pull } from "./pull.ts";
export { type ModelLocation, resolveModel } from "./resolve-model.ts";
