import { createHash } from "node:crypto";
import { readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { IdlmError } from "../../errors.ts";
import { quote } from "../../formats/files/malformed.ts";
import { type HubName, nameText } from "../model-name.ts";
import type { PullOptions } from "../pull-options.ts";
import { checkFile, lookAt } from "../store/check-file.ts";
import { findProblem } from "../store/check-model.ts";
import { makeModelFolder, makeRealFolder, replaceFile, requireSpace, shareFile, syncFolder } from "../store/folders.ts";
import type { Lock } from "../store/lock.ts";
import type { ModelFolder } from "../store/model-folder.ts";
import { type Stamp, Stamps } from "../store/stamps.ts";
import { MAX_MODEL_FILES, manifestText, type StoredFile, type StoredModel } from "../store/stored-model.ts";
import { hubAccess } from "./access.ts";
import { HubClient } from "./client.ts";
import { download } from "./download.ts";
import { type Listing, listRepository, type RepositoryFile } from "./listing.ts";
import { type Selection, selectFiles, shardsOf } from "./wanted-files.ts";

const DEFAULT_REVISION = "main";
/** Folders of a model's content: 16 digits of the SHA-256 of what is in them. */
const contentFolder = /^[0-9a-f]{16}$/;

/**
 * Fetches what `name` means of the hub into `folder`, whose lock the caller holds, and returns the path to open.
 *
 * The model that lies there already stays as it is, and in use, until all files of the new one are there and right: only
 * then does the manifest name them. What of its files is in the new one as well is not fetched again.
 * Errors: "download", "checksum", "usage", "busy", "file-malformed" (an index); the file system's; the signal's reason.
 */
export async function pullRepository(
  name: HubName,
  folder: ModelFolder,
  lock: Lock,
  options: PullOptions,
): Promise<string> {
  const { environment = process.env, revision = DEFAULT_REVISION, signal, onNotice, timing } = options;
  const present = await rightModel(folder, options);
  const client = new HubClient(hubAccess(environment), { environment, timing, signal, onNotice });
  try {
    const listing = await listRepository(client, name.repository, revision).catch((error: unknown) => {
      const isUnreached = error instanceof IdlmError && error.code === "download";
      if (!isUnreached || present?.source.kind !== "hub" || present.source.revision !== revision) throw error;
      onNotice?.(`${error.message} The copy in the cache is used, of commit ${present.source.commit}.`);
      return undefined;
    });
    if (listing === undefined) return folder.entryPath(present as StoredModel);
    const pulling = new Pulling({ name, folder, lock, client, listing, options, present });
    return folder.entryPath(await pulling.run(revision));
  } finally {
    await client.close();
  }
}

/** What lies in the folder, if all of it is there and right. Whatever else there is, is fetched again. */
async function rightModel(folder: ModelFolder, { onProgress, onNotice, signal }: PullOptions) {
  let model: StoredModel | undefined;
  try {
    model = folder.read();
  } catch (error) {
    if (!(error instanceof IdlmError)) throw error;
    onNotice?.(`${error.message} It is fetched again.`);
  }
  if (model === undefined) return undefined;
  const bytesTotal = model.files.reduce((sum, { nBytes }) => sum + nBytes, 0);
  const report = (bytesDone: number) => onProgress?.({ stage: "verify", bytesDone, bytesTotal });
  const problem = await findProblem(folder, model, { onProgress: report, signal });
  return problem === undefined ? model : undefined;
}

interface PullingParts {
  readonly name: HubName;
  readonly folder: ModelFolder;
  readonly lock: Lock;
  readonly client: HubClient;
  readonly listing: Listing;
  readonly options: PullOptions;
  /** What lies there, whole and right. */
  readonly present: StoredModel | undefined;
}

/** A repository's file that is wanted, and where it goes. */
interface WantedFile extends StoredFile {
  readonly source: RepositoryFile;
}

/** One pull of a repository whose content is known. */
class Pulling {
  readonly #parts: PullingParts;
  /** Bytes of the files that are there, of those that are wanted. */
  #bytesDone = 0;
  #bytesTotal = 0;

  constructor(parts: PullingParts) {
    this.#parts = parts;
  }

  async run(revision: string): Promise<StoredModel> {
    const { name, folder, listing, lock, client, present } = this.#parts;
    const selection = selectFiles(name, listing);
    await makeModelFolder(folder.cache, folder.key);
    const sources = await this.#withShards(selection);
    const files = place(sources.map((source) => this.#withDigest(source)));
    const [{ path: firstPath = "" } = {}] = files;
    const content = firstPath.split("/")[0] ?? "";
    const model: StoredModel = {
      name: nameText(name),
      kind: selection.kind,
      source: {
        kind: "hub",
        endpoint: client.access.endpoint,
        repository: name.repository,
        revision,
        commit: listing.commit,
      },
      entry: selection.entry === undefined ? content : `${content}/${selection.entry}`,
      files: files.map(({ path, nBytes, digest }) => ({ path, nBytes, digest })),
    };
    if (!isDeepStrictEqual(present?.files, model.files)) {
      await replaceFile(folder.planPath, manifestText(model));
      await this.#fetchAll(files, model);
    }
    if (!(await lock.isHeld())) {
      const reason = "another process went on with it, because this one did not run for a while";
      throw new IdlmError("busy", { name: model.name, reason, hint: "Pull it again." });
    }
    await replaceFile(folder.manifestPath, manifestText(model));
    await syncFolder(folder.path);
    await removeRest(folder, model, content);
    return model;
  }

  /** All files of a selection; where the weights are in shards, their index is fetched to know them. */
  async #withShards({ files, index }: Selection): Promise<readonly RepositoryFile[]> {
    if (index === undefined) return files;
    const { name, folder, listing } = this.#parts;
    const wanted = { ...this.#withDigest(index), source: index };
    // Left where parts are collected: from there it is taken like any file that has come.
    await this.#download(wanted);
    const shards = shardsOf(join(folder.partialPath, wanted.digest.hex), listing);
    if (files.length + shards.length > MAX_MODEL_FILES)
      throw failure(nameText(name), `it has more than ${MAX_MODEL_FILES} files`);
    return [...files, ...shards];
  }

  #withDigest(source: RepositoryFile): WantedFile {
    const { client, name } = this.#parts;
    const { path, nBytes, digest } = source;
    if (digest === undefined)
      throw failure(nameText(name), `${client.host} gives no checksum of ${quote(path)}, so it could not be checked`);
    return { path, nBytes, digest, source };
  }

  async #fetchAll(files: readonly WantedFile[], model: StoredModel): Promise<void> {
    const { folder, options } = this.#parts;
    this.#bytesTotal = files.reduce((sum, { nBytes }) => sum + nBytes, 0);
    const stamps = new Stamps(folder.path);
    const missing: WantedFile[] = [];
    for (const file of files) {
      const stamp = await this.#findPresent(file);
      if (stamp === undefined) missing.push(file);
      else stamps.set(file, stamp);
    }
    let needed = 0;
    for (const { nBytes, digest } of missing) {
      const there = await lookAt(join(folder.partialPath, digest.hex));
      needed += Math.max(0, nBytes - Number(there?.stamp.nBytes ?? 0));
    }
    await requireSpace(model.name, folder.path, needed);
    for (const file of missing) {
      options.signal?.throwIfAborted();
      const stamp = await this.#download(file);
      stamps.set(file, await this.#moveInto(file, stamp));
      this.#bytesDone += file.nBytes;
    }
    await stamps.save([...model.files, ...(this.#parts.present?.files ?? [])]);
  }

  /** The file's stamp where it lies in its place and is right, which a pull before or the model before may have done. */
  async #findPresent(file: WantedFile): Promise<Stamp | undefined> {
    const { folder, options, present } = this.#parts;
    const path = folder.pathOf(file);
    const same = present?.files.find(({ digest }) => digest.hex === file.digest.hex);
    if (same !== undefined && (await lookAt(path)) === undefined) {
      await this.#makePlace(file);
      await shareFile(folder.pathOf(same), path);
    }
    const report = (bytes: number) => this.#report("verify", bytes);
    const result = await checkFile(path, file, { onProgress: report, signal: options.signal });
    if (result.state !== "right") return undefined;
    this.#bytesDone += file.nBytes;
    return result.stamp;
  }

  async #download(file: WantedFile): Promise<Stamp> {
    const { name, folder, client, listing, lock, options } = this.#parts;
    await makeRealFolder(folder.partialPath);
    const path = file.source.path.split("/").map(encodeURIComponent).join("/");
    const commit = encodeURIComponent(listing.commit);
    const wanted = {
      subject: `${name.repository}:${file.source.path}`,
      address: `${client.access.endpoint}/${name.repository}/resolve/${commit}/${path}`,
      nBytes: file.nBytes,
      digest: file.digest,
      partialPath: join(folder.partialPath, file.digest.hex),
      mayBeOpenElsewhere: lock.tookOver,
    };
    const onProgress = (bytes: number) => this.#report("download", bytes);
    return download(client, wanted, { onProgress, signal: options.signal });
  }

  /** Puts a file that has come, and looked so when it was found right, in its place. */
  async #moveInto(file: WantedFile, seen: Stamp): Promise<Stamp> {
    const path = this.#parts.folder.pathOf(file);
    await this.#makePlace(file);
    // A wrong file, or anything else in its place.
    await rm(path, { recursive: true, force: true });
    await rename(join(this.#parts.folder.partialPath, file.digest.hex), path);
    await syncFolder(dirname(path));
    const { stamp } = (await lookAt(path)) ?? {};
    if (stamp?.inode !== seen.inode || stamp.modifiedNs !== seen.modifiedNs || stamp.nBytes !== seen.nBytes)
      throw failure(nameText(this.#parts.name), `${path} was changed by somebody else while it was put there`);
    return stamp;
  }

  async #makePlace(file: WantedFile): Promise<void> {
    let path = this.#parts.folder.path;
    for (const part of file.path.split("/").slice(0, -1)) {
      path = join(path, part);
      await makeRealFolder(path);
    }
  }

  #report(stage: "verify" | "download", bytes: number): void {
    const bytesDone = Math.min(this.#bytesDone + bytes, this.#bytesTotal);
    if (this.#bytesTotal > 0) this.#parts.options.onProgress?.({ stage, bytesDone, bytesTotal: this.#bytesTotal });
  }
}

/** Files by their place: below a folder named after all of their content, so that no file ever changes in its place. */
function place(files: readonly WantedFile[]): WantedFile[] {
  const content = files.map(({ path, nBytes, digest }) => [path, nBytes, digest.algorithm, digest.hex]);
  const folder = createHash("sha256").update(JSON.stringify(content)).digest("hex").slice(0, 16);
  return files.map((file) => ({ ...file, path: `${folder}/${file.path}` }));
}

/** Removes what the model in `content` needs no more. Where a file is in use (Windows), the next pull does it. */
async function removeRest(folder: ModelFolder, { files }: StoredModel, content: string): Promise<void> {
  const remove = (...path: readonly string[]) =>
    rm(join(folder.path, ...path), { recursive: true, force: true }).catch(() => {});
  for (const name of await readdir(folder.path)) {
    const path = join(folder.path, name);
    const isOld = contentFolder.test(name) && name !== content;
    if (isOld || path === folder.planPath || path === folder.partialPath) await remove(name);
  }
  const known = new Set(files.map(({ path }) => path.split("/")[1]));
  for (const name of await readdir(join(folder.path, content))) {
    if (!known.has(name)) await remove(content, name);
  }
}

function failure(name: string, reason: string): IdlmError {
  return new IdlmError("download", { name, reason });
}
