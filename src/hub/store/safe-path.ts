/** Longest file name on common file systems, in bytes. */
const MAX_SEGMENT_BYTES = 255;
/** Below the shortest path limit (macOS), with room for the cache folder. */
const MAX_PATH_BYTES = 700;
/** Windows device names, with any extension. */
const deviceName = /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i;

/**
 * Whether an untrusted path (from a server's listing, a manifest or the command line) names a file below a folder on every
 * platform: relative, with "/" between names, none of which is empty, ".", ".." or a device, and without characters that a
 * terminal or another file system would interpret (control and invisible characters, "\", ":").
 */
export function isSafePath(path: string): boolean {
  if (path === "" || Buffer.byteLength(path) > MAX_PATH_BYTES) return false;
  // \p{C}: control, format (direction overrides), surrogate and unassigned characters.
  if (/[\\:*?"<>|\p{C}\p{Zl}\p{Zp}]/u.test(path)) return false;
  return path
    .split("/")
    .every(
      (name) =>
        name !== "" && !/[. ]$/.test(name) && !deviceName.test(name) && Buffer.byteLength(name) <= MAX_SEGMENT_BYTES,
    );
}
