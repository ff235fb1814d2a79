/** Runs tasks one after the other, in the order in which they came. A backend computes one forward at a time. */
export class Queue {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task);
    this.#last = result.catch(() => {});
    return result;
  }

  /** Resolves when all tasks so far have ended. */
  async idle(): Promise<void> {
    await this.#last;
  }
}
