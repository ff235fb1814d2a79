import { useEffect, useRef, useState } from "preact/hooks";
import { running, send, stop } from "../../conversation/send.ts";
import { currentId, storage } from "../../state.ts";

export function focusComposer(): void {
  requestAnimationFrame(() => document.getElementById("composer")?.focus());
}

/** Where messages are typed. What is typed is stored at once, so that nothing is lost. */
export function Composer() {
  const id = currentId.value;
  const [text, setText] = useState(() => storage.draft(id));
  const area = useRef<HTMLTextAreaElement>(null);
  const isRunning = running.value.has(id);
  const change = (value: string) => {
    setText(value);
    storage.saveDraft(id, value);
  };
  useEffect(() => {
    // A phone would open its keyboard over the page.
    if (window.matchMedia("(hover: hover)").matches) area.current?.focus();
  }, []);
  const submit = () => {
    if (text.trim() === "" || isRunning) return;
    const content = text;
    change("");
    void send([{ role: "user", content }]);
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <textarea
        ref={area}
        id="composer"
        rows={Math.min(8, Math.max(1, text.split("\n").length))}
        aria-label="Message"
        placeholder="Ask something"
        title="Enter sends, Shift+Enter begins a new line"
        value={text}
        onInput={(event) => change(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
          event.preventDefault();
          submit();
        }}
      />
      {isRunning ? (
        <button type="button" class="primary" title="Escape" onClick={() => stop(id)}>
          Stop
        </button>
      ) : (
        <button type="submit" class="primary" disabled={text.trim() === ""}>
          Send
        </button>
      )}
    </form>
  );
}
