import type { LoadedModel } from "../../compute/loaded-model.ts";
import type { Controller } from "../../decoding/controller/controller.ts";
import type { StepObservation } from "../../decoding/controller/cost-model.ts";
import { proposeTogether } from "../../decoding/round/proposing.ts";
import { extraRows, layOut, type RoundPlan, type RoundRows } from "../../decoding/round/round.ts";
import { CHUNK_BESIDE_DECODING, MAX_FORWARD_ROWS } from "../limits.ts";
import type { PagePool } from "../kv/page-pool.ts";
import type { Queue } from "./queue.ts";
import type { Scheduler, Turn } from "./scheduler.ts";
import type { Writing } from "./writing.ts";

/** What a loop runs on. */
export interface BatchLoopParts {
  readonly model: LoadedModel;
  /** Learns what steps cost. */
  readonly controller: Controller;
  readonly pool: PagePool;
  readonly scheduler: Scheduler;
  /** Whoever computes forwards of the model waits in it. */
  readonly queue: Queue;
}

/** Runs forwards, each of all texts that the scheduler chose for it, as long as there are any. */
export class BatchLoop {
  readonly #parts: BatchLoopParts;
  /** Texts whose rows are in the forward that runs, or that begin: they are let go of afterwards. */
  #busy: ReadonlySet<Writing> = new Set();
  #running: Promise<void> | undefined;
  #isWoken = false;
  /** Texts that began and have not chosen their first round. */
  readonly #undecided = new Set<Writing>();
  /** Texts that had their turn in the last step. */
  #ran: readonly Writing[] = [];
  /** Whether the last forward wrote tokens. */
  #hasDrawn = false;
  /** What choosing first rounds took, as far as no step was observed since. */
  #choosingMs = 0;
  #released: Promise<unknown> = Promise.resolve();

  constructor(parts: BatchLoopParts) {
    this.#parts = parts;
  }

  add(writing: Writing): void {
    const { stream } = writing;
    this.#parts.scheduler.add(writing);
    stream.onCaughtUp = () => this.wake();
    // Its place is free from then on; its pages are when no forward writes to them any more.
    writing.onEnd = () => this.#parts.scheduler.remove(writing);
    const cancel = () => {
      writing.end("cancelled");
      if (!this.#busy.has(writing)) this.#letGo(writing);
    };
    if (stream.signal.aborted) cancel();
    else stream.signal.addEventListener("abort", cancel, { once: true });
    this.wake();
  }

  /** There may be something to do. */
  wake(): void {
    this.#isWoken = true;
    this.#running ??= this.#run()
      .catch((error: unknown) => this.#failAll(error))
      .finally(() => {
        this.#running = undefined;
        if (this.#isWoken) this.wake();
      });
  }

  /** Resolves when nothing runs and what ended is freed. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
    await this.#released;
  }

  async #run(): Promise<void> {
    while (this.#isWoken) {
      // Not in the caller's turn: requests of one turn run together.
      await nextTurn();
      this.#isWoken = false;
      const hasRun = await this.#parts.queue.run(() => this.#step());
      this.#isWoken ||= hasRun;
    }
  }

  /** One forward; false: there is nothing that can run. */
  async #step(): Promise<boolean> {
    const { scheduler } = this.#parts;
    const begun = scheduler.admit();
    for (const writing of begun) this.#undecided.add(writing);
    await this.#together(begun, async (writing) => writing.begin());
    const hasRead = await this.#read();
    await this.#choose();

    const given = scheduler.next();
    this.#ran = given.map(({ writing }) => writing);
    const turns = given.flatMap((turn) => {
      const maxPending = turn.writing.feedable(turn.maxPending);
      return maxPending > 0 ? [{ ...turn, maxPending }] : [];
    });
    this.#hasDrawn = false;
    if (turns.length === 0) return hasRead || given.length > 0;
    const writings = turns.map(({ writing }) => writing);
    await this.#holding(writings, async () => {
      try {
        await this.#advance(turns);
      } catch (error) {
        // Of all together: choosing their rounds, or the forward.
        for (const writing of writings) writing.fail(error);
      }
    });
    return true;
  }

  /** A forward of these texts, and what comes of it. */
  async #advance(turns: readonly Turn[]): Promise<void> {
    const { model, controller, pool, scheduler } = this.#parts;
    const startMs = performance.now();
    const writings = turns.map(({ writing }) => writing);
    const plans = turns.map(({ writing, maxPending }) => writing.plan(maxPending));
    // As they are before the results, which append to them.
    const work = workOf(plans);
    this.#hasDrawn = work.sequences > 0;
    const { forest, sampling, rows } = layOut(plans);
    const result = await model.forward(forest, pool.cache, sampling);
    const before = turns.map(({ writing }) => writing.tokens.length);
    for (const [i, { writing }] of turns.entries()) {
      this.#attempt(writing, () => writing.applyResults(plans[i] as RoundPlan, result, rows[i] as RoundRows));
    }
    await this.#chooseRounds(writings.filter((_, i) => plans[i]?.sampler !== undefined));
    const written = turns.map(({ writing }, i) => writing.tokens.length - (before[i] as number));
    for (const [i, turn] of turns.entries()) scheduler.served(turn, written[i] as number);
    const nTokens = written.reduce((sum, n) => sum + n, 0);
    const draftedTokens = turns.reduce((sum, { writing }) => sum + writing.takeDrafted(), 0);
    const ms = performance.now() - startMs + this.#choosingMs;
    this.#choosingMs = 0;
    controller.observeStep({ ...work, draftedTokens, tokens: nTokens, ms });
  }

  /**
   * Draft models read what they are behind with, in pieces beside which others' texts go on as beside those of a prompt. Not a
   * part of the step for the controller: like reading a prompt it is no price of a round. False: there was nothing to read.
   */
  async #read(): Promise<boolean> {
    const readers = [...new Set([...this.#undecided, ...this.#ran])].filter(({ isReading }) => isReading);
    const budget = { tokens: this.#hasDrawn ? CHUNK_BESIDE_DECODING : MAX_FORWARD_ROWS };
    await this.#together(readers, (writing) => writing.read(budget));
    return readers.length > 0;
  }

  /** First rounds. */
  async #choose(): Promise<void> {
    const startMs = performance.now();
    const choosing = [...this.#undecided].filter(({ mayChoose }) => mayChoose);
    for (const writing of choosing) this.#undecided.delete(writing);
    await this.#holding(choosing, () => this.#chooseRounds(choosing));
    this.#choosingMs += performance.now() - startMs;
  }

  /** Their next rounds, with one call of the model per level of their trees. */
  async #chooseRounds(writings: readonly Writing[]): Promise<void> {
    if (writings.length === 0) return;
    // Together: a draft model drafts for all of them in one forward.
    await Promise.all(writings.map((writing) => this.#attemptAsync(writing, () => writing.prepare())));
    const startMs = performance.now();
    await proposeTogether(writings.flatMap((writing) => (writing.stream.isEnded ? [] : [writing.choose()])));
    this.#parts.controller.observeProposing(performance.now() - startMs);
  }

  /** Together, so that a draft model's steps for them can share forwards. */
  #together(writings: readonly Writing[], work: (writing: Writing) => Promise<void>): Promise<void> {
    return this.#holding(writings, async () => {
      await Promise.all(writings.map((writing) => this.#attemptAsync(writing, () => work(writing))));
    });
  }

  /** What ends meanwhile is let go of afterwards. */
  async #holding(writings: readonly Writing[], work: () => Promise<void>): Promise<void> {
    this.#busy = new Set(writings);
    await work();
    this.#busy = new Set();
    for (const writing of writings) if (writing.stream.isEnded) this.#letGo(writing);
  }

  /** An error of one sequence ends that one only. */
  #attempt(writing: Writing, work: () => void): void {
    if (writing.stream.isEnded) return;
    try {
      work();
    } catch (error) {
      writing.fail(error);
    }
  }

  async #attemptAsync(writing: Writing, work: () => Promise<void>): Promise<void> {
    if (writing.stream.isEnded) return;
    try {
      await work();
    } catch (error) {
      writing.fail(error);
    }
  }

  /** What goes wrong with no one text in particular ends all of them: nobody would hear of it otherwise. */
  #failAll(error: unknown): void {
    this.#busy = new Set();
    for (const writing of this.#parts.scheduler.writings) {
      writing.fail(error);
      this.#letGo(writing);
    }
  }

  #letGo(writing: Writing): void {
    this.#undecided.delete(writing);
    this.#released = Promise.all([this.#released, writing.dispose()]);
    this.wake();
  }
}

/** What a forward was made of, for the controller. */
function workOf(plans: readonly RoundPlan[]): Omit<StepObservation, "draftedTokens" | "tokens" | "ms"> {
  const work = { tokenRows: 0, drawnRows: 0, maskRows: 0, contextRows: 0, sequences: 0 };
  for (const { sequence, pending, proposals, maskRuns, sampler } of plans) {
    const tokenRows = pending.length + proposals.length;
    const { maskRows } = extraRows({ proposals, maskRuns });
    work.tokenRows += tokenRows;
    work.maskRows += maskRows;
    work.contextRows += (tokenRows + maskRows) * sequence.length;
    if (sampler === undefined) continue;
    work.drawnRows += 1 + proposals.length;
    work.sequences++;
  }
  return work;
}

/** After everything that the event loop has to do now: signals, timers and readers come first. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
