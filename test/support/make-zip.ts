import { deflateRawSync } from "node:zlib";

export interface ZipMember {
  readonly name: string;
  readonly content: Uint8Array;
  /** 8: deflated, 0: stored. Other methods: the content is written unchanged. */
  readonly method?: number;
}

/** A zip archive without checksums (the reader computes SHA-256 instead). */
export function makeZip(members: readonly ZipMember[], comment = ""): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, content, method = 8 } of members) {
    const data = method === 8 ? deflateRawSync(content) : Buffer.from(content);
    // Fields of both headers: version, flags, method, time, date, checksum, two lengths, length of name and of extra field.
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(method, 4);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(content.length, 18);
    common.writeUInt16LE(Buffer.byteLength(name), 22);
    parts.push(Buffer.from("PK\x03\x04", "latin1"), common, Buffer.from(name), data);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(offset, 10);
    directory.push(Buffer.from("PK\x01\x02\x14\x00", "latin1"), common, rest, Buffer.from(name));
    offset += 30 + Buffer.byteLength(name) + data.length;
  }
  const directoryBytes = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(members.length, 8);
  end.writeUInt16LE(members.length, 10);
  end.writeUInt32LE(directoryBytes.length, 12);
  end.writeUInt32LE(offset, 16);
  end.writeUInt16LE(Buffer.byteLength(comment), 20);
  return Buffer.concat([...parts, directoryBytes, end, Buffer.from(comment)]);
}
