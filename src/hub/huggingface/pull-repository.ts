import { createHash } from "node:crypto";
import { readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { IdlmError } from "../../errors.ts";
import { quote } from "../../formats/files/malformed.ts";
import { type HubName, nameText } from "../model-name.ts";
import type { PullOptions } from "../pull-options.ts";
import { checkFile, fileStatus } from "../store/check-file.ts";
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
import { type Selection, selectFiles, shardsOf } from "./select-files.ts";

const DEFAULT_REVISION = "main";
/** A content folder is named with 16 digits of the SHA-256 of its content. */
const contentFolder = /^[0-9a-f]{16}$/;

/**
 * Downloads the files of the hub that `name` selects into `folder`, whose lock the caller holds, and returns the path to
 * open.
 *
 * An older version in the folder stays usable until all files of the new one are downloaded and verified; then the
 * manifest is replaced. Files that both versions share are not downloaded again.
 * Errors: "download", "checksum", "usage", "busy", "file-malformed" (an index); file system errors; the signal's reason.
 */
export async function pullRepository(
  name: HubName,
  folder: ModelFolder,
  lock: Lock,
  options: PullOptions,
): Promise<string> {
  const { environment = process.env, revision = DEFAULT_REVISION, signal, onNotice, timing } = options;
  const present = await verifiedModel(folder, options);
  const client = new HubClient(hubAccess(environment), { environment, timing, signal, onNotice });
  try {
    const listing = await listRepository(client, name.repository, revision).catch((error: unknown) => {
      const isUnreached = error instanceof IdlmError && error.code === "download";
      if (!isUnreached || present?.source.kind !== "hub" || present.source.revision !== revision) throw error;
      onNotice?.(`${error.message} Using the cached copy of commit ${present.source.commit}.`);
      return undefined;
    });
    if (listing === undefined) return folder.entryPath(present as StoredModel);
    const repositoryPull = new RepositoryPull({ name, folder, lock, client, listing, options, present });
    return folder.entryPath(await repositoryPull.run(revision));
  } finally {
    await client.close();
  }
}

/** The model in the folder if it is complete and its checksums match, else undefined. */
async function verifiedModel(folder: ModelFolder, { onProgress, onNotice, signal }: PullOptions) {
  let model: StoredModel | undefined;
  try {
    model = folder.read();
  } catch (error) {
    if (!(error instanceof IdlmError)) throw error;
    onNotice?.(`${error.message} Downloading it again.`);
  }
  if (model === undefined) return undefined;
  const bytesTotal = model.files.reduce((sum, { nBytes }) => sum + nBytes, 0);
  const report = (bytesDone: number) => onProgress?.({ stage: "verify", bytesDone, bytesTotal });
  const problem = await findProblem(folder, model, { onProgress: report, signal });
  return problem === undefined ? model : undefined;
}

interface PullContext {
  readonly name: HubName;
  readonly folder: ModelFolder;
  readonly lock: Lock;
  readonly client: HubClient;
  readonly listing: Listing;
  readonly options: PullOptions;
  /** The verified model in the folder. */
  readonly present: StoredModel | undefined;
}

/** A file of the repository, with its path in the cache. */
interface SelectedFile extends StoredFile {
  readonly source: RepositoryFile;
}

/** One pull of a repository whose content has been listed. */
class RepositoryPull {
  readonly #parts: PullContext;
  /** Bytes of the selected files that are complete, and of all of them. */
  #bytesDone = 0;
  #bytesTotal = 0;

  constructor(parts: PullContext) {
    this.#parts = parts;
  }

  async run(revision: string): Promise<StoredModel> {
    const { name, folder, listing, lock, client, present } = this.#parts;
    const selection = selectFiles(name, listing);
    await makeModelFolder(folder.cache, folder.key);
    const sources = await this.#withShards(selection);
    const files = inContentFolder(sources.map((source) => this.#withDigest(source)));
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
      const reason = "another process took over, because this one was suspended";
      throw new IdlmError("busy", { name: model.name, reason, hint: "Pull it again." });
    }
    await replaceFile(folder.manifestPath, manifestText(model));
    await syncFolder(folder.path);
    await removeOldFiles(folder, model, content);
    return model;
  }

  /** All files of a selection. For sharded weights their index is downloaded first, to know the shards. */
  async #withShards({ files, index }: Selection): Promise<readonly RepositoryFile[]> {
    if (index === undefined) return files;
    const { name, folder, listing } = this.#parts;
    const indexFile = { ...this.#withDigest(index), source: index };
    // It stays in the partial folder and is moved from there with the other files.
    await this.#download(indexFile);
    const shards = shardsOf(join(folder.partialPath, indexFile.digest.hex), listing);
    if (files.length + shards.length > MAX_MODEL_FILES)
      throw failure(nameText(name), `it has more than ${MAX_MODEL_FILES} files`);
    return [...files, ...shards];
  }

  #withDigest(source: RepositoryFile): SelectedFile {
    const { client, name } = this.#parts;
    const { path, nBytes, digest } = source;
    if (digest === undefined)
      throw failure(nameText(name), `${client.host} gives no checksum of ${quote(path)}, so it cannot be verified`);
    return { path, nBytes, digest, source };
  }

  async #fetchAll(files: readonly SelectedFile[], model: StoredModel): Promise<void> {
    const { folder, options } = this.#parts;
    this.#bytesTotal = files.reduce((sum, { nBytes }) => sum + nBytes, 0);
    const stamps = new Stamps(folder.path);
    const missing: SelectedFile[] = [];
    for (const file of files) {
      const stamp = await this.#findPresent(file);
      if (stamp === undefined) missing.push(file);
      else stamps.set(file, stamp);
    }
    let needed = 0;
    for (const { nBytes, digest } of missing) {
      const partial = await fileStatus(join(folder.partialPath, digest.hex));
      needed += Math.max(0, nBytes - Number(partial?.stamp.nBytes ?? 0));
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
  async #findPresent(file: SelectedFile): Promise<Stamp | undefined> {
    const { folder, options, present } = this.#parts;
    const path = folder.pathOf(file);
    const same = present?.files.find(({ digest }) => digest.hex === file.digest.hex);
    if (same !== undefined && (await fileStatus(path)) === undefined) {
      await this.#makeFolders(file);
      await shareFile(folder.pathOf(same), path);
    }
    const report = (bytes: number) => this.#report("verify", bytes);
    const result = await checkFile(path, file, { onProgress: report, signal: options.signal });
    if (result.state !== "valid") return undefined;
    this.#bytesDone += file.nBytes;
    return result.stamp;
  }

  async #download(file: SelectedFile): Promise<Stamp> {
    const { name, folder, client, listing, lock, options } = this.#parts;
    await makeRealFolder(folder.partialPath);
    const path = file.source.path.split("/").map(encodeURIComponent).join("/");
    const commit = encodeURIComponent(listing.commit);
    const request = {
      subject: `${name.repository}:${file.source.path}`,
      address: `${client.access.endpoint}/${name.repository}/resolve/${commit}/${path}`,
      nBytes: file.nBytes,
      digest: file.digest,
      partialPath: join(folder.partialPath, file.digest.hex),
      mayBeOpenElsewhere: lock.tookOver,
    };
    const onProgress = (bytes: number) => this.#report("download", bytes);
    return download(client, request, { onProgress, signal: options.signal });
  }

  /** Moves a downloaded file to its final path and checks that it has not changed since it was verified. */
  async #moveInto(file: SelectedFile, seen: Stamp): Promise<Stamp> {
    const path = this.#parts.folder.pathOf(file);
    await this.#makeFolders(file);
    // A damaged file, or anything else at this path.
    await rm(path, { recursive: true, force: true });
    await rename(join(this.#parts.folder.partialPath, file.digest.hex), path);
    await syncFolder(dirname(path));
    const { stamp } = (await fileStatus(path)) ?? {};
    if (stamp?.inode !== seen.inode || stamp.modifiedNs !== seen.modifiedNs || stamp.nBytes !== seen.nBytes)
      throw failure(nameText(this.#parts.name), `${path} was changed by another process`);
    return stamp;
  }

  async #makeFolders(file: SelectedFile): Promise<void> {
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

/** The files with paths below a folder named after their content, so that files in the cache never change. */
function inContentFolder(files: readonly SelectedFile[]): SelectedFile[] {
  const content = files.map(({ path, nBytes, digest }) => [path, nBytes, digest.algorithm, digest.hex]);
  const folder = createHash("sha256").update(JSON.stringify(content)).digest("hex").slice(0, 16);
  return files.map((file) => ({ ...file, path: `${folder}/${file.path}` }));
}

/** Removes files that the model in `content` does not need. Files in use (Windows) are left for the next pull. */
async function removeOldFiles(folder: ModelFolder, { files }: StoredModel, content: string): Promise<void> {
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
