import { useEffect, useState } from "preact/hooks";
import { RequestFailure, request } from "../../api/client.ts";
import { isRecord } from "../../conversation/conversation.ts";
import { connection, server } from "../../state.ts";
import { inWords, Metrics } from "./metrics.ts";

const INTERVAL_MS = 3000;

/** The machine and the server, in plain words. */
export function MachineView() {
  const [sentences, setSentences] = useState<readonly string[]>([]);
  const [info, setInfo] = useState<readonly (readonly [string, string])[]>([]);
  useEffect(() => {
    const look = async () => {
      try {
        setSentences(inWords(new Metrics(await (await request(connection(), "/metrics")).text())));
        const found: unknown = await (await request(connection(), "/server_info")).json();
        setInfo(flat(found));
      } catch (error) {
        if (error instanceof RequestFailure && error.kind !== "refused" && error.kind !== "busy") {
          server.value = { kind: error.kind, message: error.message };
        }
      }
    };
    void look();
    const timer = setInterval(() => void look(), INTERVAL_MS);
    return () => clearInterval(timer);
  }, []);
  return (
    <main class="page" aria-label="Under the hood">
      <h2>Under the hood</h2>
      <section class="card">
        <h3>What the server does</h3>
        <ul>
          {sentences.map((text) => (
            <li key={text}>{text}</li>
          ))}
        </ul>
        {sentences.length === 0 && <p class="muted">No metrics yet.</p>}
      </section>
      <Doctor />
      <section class="card">
        <h3>What it runs</h3>
        <table class="info">
          <tbody>
            {info.map(([key, value]) => (
              <tr key={key}>
                <th scope="row">{key}</th>
                <td>{value}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </main>
  );
}

/** What `idlm doctor` says of the machine, measured when asked: it takes seconds and slows down what runs. */
function Doctor() {
  const [text, setText] = useState("");
  const [isRunning, setRunning] = useState(false);
  const measure = async () => {
    setRunning(true);
    try {
      const response = await request(connection(), "/doctor", { body: {} });
      const { report } = (await response.json()) as { readonly report: string };
      setText(report);
    } catch (error) {
      setText(error instanceof Error ? error.message : String(error));
    }
    setRunning(false);
  };
  return (
    <section class="card">
      <h3>What this machine allows</h3>
      <p class="muted">Memory bandwidth, the time of forwards by number of rows, and the speed-up that follows.</p>
      <button type="button" disabled={isRunning} onClick={() => void measure()}>
        {isRunning ? "Measuring…" : "Measure"}
      </button>
      {text !== "" && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, which the keyboard has to reach
        <section tabIndex={0} aria-label="Report of doctor">
          <pre>{text}</pre>
        </section>
      )}
    </section>
  );
}

/** Scalar values of an object and the objects in it, with the path of each. */
function flat(value: unknown, path = ""): (readonly [string, string])[] {
  if (isRecord(value)) {
    return Object.entries(value).flatMap(([key, inner]) => flat(inner, path === "" ? key : `${path}.${key}`));
  }
  if (Array.isArray(value)) return value.every((one) => typeof one !== "object") ? [[path, value.join(", ")]] : [];
  return value === null || value === undefined ? [] : [[path, String(value)]];
}
