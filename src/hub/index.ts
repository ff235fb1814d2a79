export { adapterFor, catalogue, findEntry } from "./catalogue.ts";
export type { ModelLocation } from "./model-path.ts";
export { pull } from "./pull.ts";
export type { PullProgress } from "./pull-options.ts";
export { locateUnchecked, resolveAdapter, resolveModel } from "./resolve-model.ts";
export { type PackageOptions, type PackageWheel, withPackageFiles } from "./pip/package-files.ts";
export { lockFolder } from "./store/lock-folder.ts";
export { cachedPath } from "./store/model-folder.ts";
export { type ListedModel, listModels, removeModel } from "./stored-models.ts";
