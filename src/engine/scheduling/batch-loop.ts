import type { LoadedModel } from "../../compute/loaded-model.ts";
import type { Controller } from "../../decoding/controller/controller.ts";
import type { StepObservation } from "../../decoding/controller/cost-model.ts";
import { proposeTogether } from "../../decoding/round/proposing.ts";
import { extraRows, layOut, type RoundPlan, type RoundRows } from "../../decoding/round/round.ts";
import { PREFILL_CHUNK_WHILE_DECODING, MAX_FORWARD_ROWS } from "../limits.ts";
import type { PagePool } from "../kv/page-pool.ts";
import type { Mutex } from "./mutex.ts";
import type { Scheduler, ScheduledSequence } from "./scheduler.ts";
import type { Sequence } from "./sequence.ts";
import type { ModelObserver } from "../types.ts";

/** Dependencies of a BatchLoop. */
export interface BatchLoopParts {
  readonly model: LoadedModel;
  /** Learns the time of steps. */
  readonly controller: Controller;
  readonly pool: PagePool;
  readonly scheduler: Scheduler;
  /** Guards the model's forwards. */
  readonly mutex: Mutex;
  readonly observer?: ModelObserver | undefined;
}

/** Runs forwards, each for all sequences of the scheduler's batch, while there is work. */
export class BatchLoop {
  readonly #parts: BatchLoopParts;
  /** Sequences of the running forward, or that are starting. If they end meanwhile they are released afterwards. */
  #inFlight: ReadonlySet<Sequence> = new Set();
  #running: Promise<void> | undefined;
  #hasWork = false;
  /** Started sequences without proposals for their first round yet. */
  readonly #awaitingFirstRound = new Set<Sequence>();
  /** Sequences whose next round is planned and not chosen yet. */
  #planned: readonly Sequence[] = [];
  /** Sequences that were scheduled in the last step. */
  #lastBatch: readonly Sequence[] = [];
  /** Whether the last forward drew tokens. */
  #hasDrawn = false;
  /** Time of proposing for first rounds, and of choosing rounds, since the last observed step. */
  #choosingMs = 0;
  /** Preemptions up to the last observed step. */
  #nPreemptedBefore = 0;
  #released: Promise<unknown> = Promise.resolve();

  constructor(parts: BatchLoopParts) {
    this.#parts = parts;
  }

  add(sequence: Sequence): void {
    const { stream } = sequence;
    this.#parts.scheduler.add(sequence);
    stream.onDrain = () => this.wake();
    // Its slot is free now; its pages are freed when no running forward writes to them.
    sequence.onEnd = () => this.#parts.scheduler.remove(sequence);
    const cancel = () => {
      sequence.end("cancelled");
      if (!this.#inFlight.has(sequence)) this.#release(sequence);
    };
    if (stream.signal.aborted) cancel();
    else stream.signal.addEventListener("abort", cancel, { once: true });
    this.wake();
  }

  /** Starts the loop if it is idle. */
  wake(): void {
    this.#hasWork = true;
    this.#running ??= this.#run()
      .catch((error: unknown) => this.#failAll(error))
      .finally(() => {
        this.#running = undefined;
        if (this.#hasWork) this.wake();
      });
  }

  /** Resolves when nothing runs and the resources of ended sequences are freed. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
    await this.#released;
  }

  async #run(): Promise<void> {
    // Batches all requests of one turn of the event loop.
    await yieldToEventLoop();
    while (this.#hasWork) {
      this.#hasWork = false;
      const hasRun = await this.#parts.mutex.runExclusive(() => this.#step());
      this.#hasWork ||= hasRun;
    }
  }

  /**
   * One forward. Its rounds are planned in three parts: each sequence collects its proposals, at the end of the forward that
   * they come from or when it starts; the controller chooses the rows of all of them; the forward runs. False: no sequence can
   * run.
   */
  async #step(): Promise<boolean> {
    const { scheduler } = this.#parts;
    const started = scheduler.admit();
    for (const sequence of started) this.#awaitingFirstRound.add(sequence);
    await this.#concurrently(started, async (sequence) => sequence.start());
    const hasPrefilled = await this.#prefillDrafts();
    await this.#proposeFirstRounds();
    this.#chooseRounds();

    const batch = scheduler.schedule();
    this.#lastBatch = batch.map(({ sequence }) => sequence);
    const scheduled = batch.flatMap((entry) => {
      const maxPending = entry.sequence.schedulableTokens(entry.maxPending);
      return maxPending > 0 ? [{ ...entry, maxPending }] : [];
    });
    this.#hasDrawn = false;
    if (scheduled.length === 0) {
      await yieldToEventLoop();
      return hasPrefilled || batch.length > 0;
    }
    const sequences = scheduled.map(({ sequence }) => sequence);
    await this.#whileInFlight(sequences, async () => {
      try {
        await this.#runForward(scheduled);
      } catch (error) {
        // Proposing or the forward failed, for all of them.
        for (const sequence of sequences) sequence.fail(error);
      }
    });
    return true;
  }

  /** Runs a forward of these sequences, applies the results and collects proposals for the next rounds. */
  async #runForward(scheduled: readonly ScheduledSequence[]): Promise<void> {
    const { model, controller, pool, scheduler } = this.#parts;
    const startMs = performance.now();
    const sequences = scheduled.map(({ sequence }) => sequence);
    const plans = scheduled.map(({ sequence, maxPending }) => sequence.plan(maxPending));
    // Before the results are applied, which appends to the plans' sequences.
    const work = workOf(plans);
    this.#hasDrawn = work.sequences > 0;
    const { forest, sampling, rows } = layOut(plans);
    // Readers, signals and new requests have their turn while it runs.
    const [result] = await Promise.all([model.forward(forest, pool.cache, sampling), yieldToEventLoop()]);
    const before = scheduled.map(({ sequence }) => sequence.tokens.length);
    for (const [i, { sequence }] of scheduled.entries()) {
      this.#attempt(sequence, () => sequence.applyResults(plans[i] as RoundPlan, result, rows[i] as RoundRows));
    }
    await this.#propose(sequences.filter((_, i) => plans[i]?.sampler !== undefined));
    const drawn = scheduled.map(({ sequence }, i) => sequence.tokens.length - (before[i] as number));
    for (const [i, entry] of scheduled.entries()) scheduler.recordServed(entry, drawn[i] as number);
    const nTokens = drawn.reduce((sum, n) => sum + n, 0);
    const draftedTokens = scheduled.reduce((sum, { sequence }) => sum + sequence.takeDrafted(), 0);
    const ms = performance.now() - startMs + this.#choosingMs;
    this.#choosingMs = 0;
    controller.observeStep({ ...work, draftedTokens, tokens: nTokens, ms });
    const preemptions = scheduler.nPreempted - this.#nPreemptedBefore;
    this.#nPreemptedBefore += preemptions;
    this.#parts.observer?.onForward?.({
      ...{ rows: forest.tokens.length, sequences: scheduled.length },
      ...{ preemptions, ms },
    });
  }

  /**
   * Prefills draft models, in chunks as small as those of prompts while other sequences decode. Not part of the step
   * that the controller observes: prefill is not a cost of a round. False: there was nothing to prefill.
   */
  async #prefillDrafts(): Promise<boolean> {
    const prefilling = [...new Set([...this.#awaitingFirstRound, ...this.#lastBatch])].filter(
      ({ needsDraftPrefill }) => needsDraftPrefill,
    );
    const budget = { tokens: this.#hasDrawn ? PREFILL_CHUNK_WHILE_DECODING : MAX_FORWARD_ROWS };
    await this.#concurrently(prefilling, (sequence) => sequence.prefillDraft(budget));
    return prefilling.length > 0;
  }

  /** Collects proposals for the first rounds of started sequences. */
  async #proposeFirstRounds(): Promise<void> {
    const startMs = performance.now();
    const proposing = [...this.#awaitingFirstRound].filter(({ canPropose }) => canPropose);
    for (const sequence of proposing) this.#awaitingFirstRound.delete(sequence);
    await this.#whileInFlight(proposing, () => this.#propose(proposing));
    this.#choosingMs += performance.now() - startMs;
  }

  /** Chooses the rounds of all sequences with new proposals. */
  #chooseRounds(): void {
    if (this.#planned.length === 0) return;
    const startMs = performance.now();
    this.#parts.controller.chooseRounds();
    for (const sequence of this.#planned) this.#attempt(sequence, () => sequence.takeRound());
    this.#planned = [];
    this.#choosingMs += performance.now() - startMs;
  }

  /** Collects proposals for the next rounds of these sequences, with one model call per level of their trees. */
  async #propose(sequences: readonly Sequence[]): Promise<void> {
    if (sequences.length === 0) return;
    // All at once: a draft model drafts for them in shared forwards.
    await Promise.all(sequences.map((sequence) => this.#attemptAsync(sequence, () => sequence.prepare())));
    const startMs = performance.now();
    await proposeTogether(sequences.flatMap((sequence) => (sequence.stream.isEnded ? [] : [sequence.propose()])));
    this.#planned = [...this.#planned, ...sequences];
    this.#parts.controller.observeProposing(performance.now() - startMs);
  }

  /** Runs `work` for these sequences concurrently, so that draft models can share forwards. */
  #concurrently(sequences: readonly Sequence[], work: (sequence: Sequence) => Promise<void>): Promise<void> {
    return this.#whileInFlight(sequences, async () => {
      await Promise.all(sequences.map((sequence) => this.#attemptAsync(sequence, () => work(sequence))));
    });
  }

  /** Runs `work`, then releases the sequences that ended meanwhile. */
  async #whileInFlight(sequences: readonly Sequence[], work: () => Promise<void>): Promise<void> {
    this.#inFlight = new Set(sequences);
    await work();
    this.#inFlight = new Set();
    for (const sequence of sequences) if (sequence.stream.isEnded) this.#release(sequence);
  }

  /** An error of one sequence ends only that sequence. */
  #attempt(sequence: Sequence, work: () => void): void {
    if (sequence.stream.isEnded) return;
    try {
      work();
    } catch (error) {
      sequence.fail(error);
      if (!this.#inFlight.has(sequence)) this.#release(sequence);
    }
  }

  async #attemptAsync(sequence: Sequence, work: () => Promise<void>): Promise<void> {
    if (sequence.stream.isEnded) return;
    try {
      await work();
    } catch (error) {
      sequence.fail(error);
    }
  }

  /** An error outside of any one sequence ends all of them, so that every caller learns of it. */
  #failAll(error: unknown): void {
    this.#inFlight = new Set();
    for (const sequence of this.#parts.scheduler.sequences) {
      sequence.fail(error);
      this.#release(sequence);
    }
  }

  #release(sequence: Sequence): void {
    this.#awaitingFirstRound.delete(sequence);
    this.#released = Promise.all([this.#released, sequence.dispose()]);
    this.wake();
  }
}

/** Work of a forward, for the controller. */
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

/** Lets pending signals, timers and readers run. */
function yieldToEventLoop(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
