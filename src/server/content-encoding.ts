import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate, type ZlibOptions } from "node:zlib";
import { usage } from "../engine/request/request-values.ts";
import { IdlmError } from "../errors.ts";

type Decode = (bytes: Buffer, options: Pick<ZlibOptions, "maxOutputLength">) => Promise<Buffer>;

const decoders: Readonly<Record<string, Decode>> = {
  gzip: promisify<Buffer, ZlibOptions, Buffer>(gunzip),
  "x-gzip": promisify<Buffer, ZlibOptions, Buffer>(gunzip),
  deflate: promisify<Buffer, ZlibOptions, Buffer>(inflate),
  br: promisify<Buffer, ZlibOptions, Buffer>(brotliDecompress),
};

/** Decodes a body; undefined: it is sent as it is. @throws IdlmError "encoding-unknown", and when decoding "usage", "body-too-large". */
export function decoderOf(encoding: string | undefined): Decode | undefined {
  const name = (encoding ?? "").trim().toLowerCase();
  if (name === "" || name === "identity") return undefined;
  const decode = Object.hasOwn(decoders, name) ? decoders[name] : undefined;
  if (decode === undefined) throw new IdlmError("encoding-unknown", { encoding: name.slice(0, 40) });
  return async (bytes, options) => {
    try {
      return await decode(bytes, options);
    } catch (error) {
      // Some bytes become a thousand times as many.
      if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") {
        throw new IdlmError("body-too-large", { max: options.maxOutputLength ?? 0 });
      }
      throw usage(`the body is not ${name} data`);
    }
  };
}
