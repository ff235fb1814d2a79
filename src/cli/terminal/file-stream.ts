import { Writable } from "node:stream";
import { writeAll } from "../../formats/files/write-all.ts";

/** An open file as a stream that writes at once, and whole. Errors come as events. */
export class FileStream extends Writable {
  readonly isTTY = false;
  readonly columns = undefined;
  readonly #descriptor: number;

  constructor(descriptor: number) {
    super({ decodeStrings: true });
    this.#descriptor = descriptor;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    try {
      writeAll(this.#descriptor, chunk);
      done();
    } catch (error) {
      done(error as Error);
    }
  }
}
