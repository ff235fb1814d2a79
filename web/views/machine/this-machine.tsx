import { signal } from "@preact/signals";
import { request } from "../../api/client.ts";
import type { WireDoctor, WireModel, WireNative } from "../../api/wire-machine.ts";
import { connection } from "../../state.ts";
import { machineWords, roofWords, speedUpTable } from "./machine-words.ts";
import { RoofChart } from "./roof-chart.tsx";

interface Measurement {
  readonly isRunning: boolean;
  readonly problem?: string;
  readonly result?: WireDoctor;
}

/** Kept while other tabs are shown: measuring takes seconds. */
const measurement = signal<Measurement>({ isRunning: false });

async function measure(): Promise<void> {
  measurement.value = { ...measurement.value, isRunning: true };
  try {
    const response = await request(connection(), "/doctor", { body: {} });
    measurement.value = { isRunning: false, result: (await response.json()) as WireDoctor };
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    measurement.value = { isRunning: false, problem };
  }
}

/** The two roofs of the machine, measured only when asked: it takes seconds and slows down what runs. */
export function ThisMachine() {
  const { isRunning, problem, result } = measurement.value;
  return (
    <section class="card machine" aria-labelledby="this-machine">
      <h3 id="this-machine">This machine</h3>
      <p class="muted">
        Where decoding with proposals helps here, and where it cannot. Two roofs bound the speed of every forward:
        reading memory, and arithmetic. Measuring takes some seconds and uses all cores.
      </p>
      <div class="row start">
        <button type="button" disabled={isRunning} onClick={() => void measure()}>
          {isRunning ? "Measuring…" : result === undefined ? "Measure" : "Measure again"}
        </button>
        <span class="muted" role="status">
          {isRunning ? "The machine is being measured." : result === undefined ? "" : "Measured."}
        </span>
      </div>
      {problem !== undefined && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      {result?.disturbed && (
        <p class="problem" role="alert">
          Requests ran meanwhile and disturbed these figures. Measure again when the server is idle.
        </p>
      )}
      {result && <Result result={result} />}
    </section>
  );
}

function Result({ result: { figures, report } }: { readonly result: WireDoctor }) {
  const { native, model } = figures;
  return (
    <>
      <p>{machineWords(figures)}</p>
      {native && <RoofTable native={native} />}
      {model && (
        <>
          <p>{roofWords(model)}</p>
          <RoofChart model={model} />
          <SpeedUps model={model} />
        </>
      )}
      <details>
        <summary>As idlm doctor prints it</summary>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, which the keyboard has to reach */}
        <section tabIndex={0} aria-label="Report of doctor">
          <pre>{report}</pre>
        </section>
      </details>
    </>
  );
}

function RoofTable({ native }: { readonly native: WireNative }) {
  const columns = native.threads === 1 ? [native] : [native, native.oneThread];
  return (
    <table class="figures-table">
      <thead>
        <tr>
          <th scope="col">roof</th>
          <th scope="col">{native.threads === 1 ? "1 thread" : `${native.threads} threads`}</th>
          {native.threads > 1 && <th scope="col">1 thread</th>}
        </tr>
      </thead>
      <tbody>
        <tr>
          <th scope="row">reading memory, GB/s</th>
          {columns.map(({ bandwidthGBs }, i) => (
            <td key={i}>{bandwidthGBs.toFixed(1)}</td>
          ))}
        </tr>
        <tr>
          <th scope="row">arithmetic, billion 8-bit products/s</th>
          {columns.map(({ productsPerSecond }, i) => (
            <td key={i}>{(productsPerSecond / 1e9).toFixed(0)}</td>
          ))}
        </tr>
      </tbody>
    </table>
  );
}

function SpeedUps({ model: { speedUps } }: { readonly model: WireModel }) {
  const { tokens, lines } = speedUpTable(speedUps);
  return (
    <>
      <h4>Speed-up by tokens per forward</h4>
      <p class="muted">
        Tokens per forward × time of one row / time of the rows, as measured; in brackets by the roofs. Below 1 plain
        decoding is faster.
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, which the keyboard has to reach */}
      <section class="scroll" tabIndex={0} aria-label="Speed-up by rows and tokens per forward">
        <table class="figures-table">
          <thead>
            <tr>
              <th scope="col">rows</th>
              {tokens.map((count) => (
                <th scope="col" key={count}>
                  {count} tokens
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {lines.map(({ rows, cells }) => (
              <tr key={rows}>
                <th scope="row">{rows}</th>
                {cells.map((cell, i) => (
                  <td key={i} class={cell === undefined ? "" : cell.measured < 1 ? "slower" : "faster"}>
                    {cell && (
                      <>
                        {cell.measured.toFixed(2)} × <span class="muted">({cell.byRoofs.toFixed(2)})</span>
                      </>
                    )}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </>
  );
}
