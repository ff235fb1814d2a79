import { useEffect, useState } from "preact/hooks";
import { RequestFailure, request } from "../../api/client.ts";
import { isRecord } from "../../conversation/conversation.ts";
import { connection, server } from "../../state.ts";
import { inWords, Metrics } from "./metrics.ts";
import { ThisMachine } from "./this-machine.tsx";

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
      <ThisMachine />
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

/** Scalar values of an object and the objects in it, with the path of each. */
function flat(value: unknown, path = ""): (readonly [string, string])[] {
  if (isRecord(value)) {
    return Object.entries(value).flatMap(([key, inner]) => flat(inner, path === "" ? key : `${path}.${key}`));
  }
  if (Array.isArray(value)) return value.every((one) => typeof one !== "object") ? [[path, value.join(", ")]] : [];
  return value === null || value === undefined ? [] : [[path, String(value)]];
}
