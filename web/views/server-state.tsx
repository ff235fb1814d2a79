import { useEffect, useRef, useState } from "preact/hooks";
import { running, stop } from "../conversation/send.ts";
import { checkServer } from "../server-watch.ts";
import { currentId, giveKey, server } from "../state.ts";

/** Says what is wrong with the server, and that the page goes on by itself. */
export function ServerBanner() {
  const state = server.value;
  if (state.kind === "ready" || state.kind === "key") return null;
  const waits = running.value.has(currentId.value);
  const text =
    state.kind === "gone"
      ? `The server does not answer. ${waits ? "Your message is kept and sent when it is back." : "The page goes on when it is back."}`
      : `${state.message} ${waits ? `Trying again every ${Math.round(state.seconds)} s.` : ""}`;
  return (
    <div class="banner warning" role="status">
      {text}
      {waits && (
        <button type="button" onClick={() => stop(currentId.value)}>
          Stop waiting
        </button>
      )}
    </div>
  );
}

/** Asks for the key where the server wants one. */
export function KeyDialog() {
  const dialog = useRef<HTMLDialogElement>(null);
  const [isKept, setKept] = useState(false);
  const [key, setKey] = useState("");
  const state = server.value;
  useEffect(() => {
    if (state.kind === "key" && !dialog.current?.open) dialog.current?.showModal();
  }, [state]);
  if (state.kind !== "key") return null;
  return (
    <dialog ref={dialog} aria-labelledby="key-title">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          giveKey(key.trim(), isKept);
          setKey("");
          void checkServer();
        }}
      >
        <h2 id="key-title">The server asks for a key</h2>
        <p>{state.message}</p>
        <label>
          Key
          <input
            type="password"
            autocomplete="off"
            required
            value={key}
            onInput={(event) => setKey(event.currentTarget.value)}
          />
        </label>
        <label class="check">
          <input type="checkbox" checked={isKept} onChange={(event) => setKept(event.currentTarget.checked)} />
          Keep it in this browser (else until this tab is closed)
        </label>
        <div class="actions">
          <button type="submit" class="primary">
            Use this key
          </button>
        </div>
      </form>
    </dialog>
  );
}
