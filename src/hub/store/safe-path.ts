/** Longest name of a file on the usual file systems, in bytes. */
const MAX_SEGMENT_BYTES = 255;
/** Below the shortest limit of a whole path (macOS), with room for the cache's own folder. */
const MAX_PATH_BYTES = 700;
/** Names that Windows gives to devices, with any extension. */
const deviceName = /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i;

/**
 * Whether a path from elsewhere (a server's listing, a manifest, the command line) names a file below a folder on every
 * platform: relative, with "/" between names, none of which is empty, ".", "..", a device, or holds what a terminal or
 * another file system would read differently (control and invisible characters, "\", ":").
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
