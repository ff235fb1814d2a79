import { useState } from "preact/hooks";
import type { Message } from "../../conversation/conversation.ts";
import { resend, running } from "../../conversation/send.ts";
import { currentId } from "../../state.ts";

interface UserMessageProps {
  readonly message: Exclude<Message, { readonly role: "assistant" }>;
  readonly index: number;
}

/** What was asked. It can be edited; what followed is then answered anew. */
export function UserMessage({ message, index }: UserMessageProps) {
  const [edited, setEdited] = useState<string>();
  const isRunning = running.value.has(currentId.value);
  const submit = () => {
    if (edited === undefined || edited.trim() === "") return;
    setEdited(undefined);
    void resend(index, [{ ...message, content: edited }]);
  };
  return (
    <article class={`message ${message.role}`} aria-label={message.role === "user" ? "You" : "Result of a tool"}>
      {edited === undefined ? (
        <div class="text">
          {message.role === "tool" && <span class="muted">Result: </span>}
          {message.content}
        </div>
      ) : (
        <textarea
          aria-label="Edit the message"
          ref={(element) => element?.focus()}
          rows={3}
          value={edited}
          onInput={(event) => setEdited(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
              event.preventDefault();
              submit();
            } else if (event.key === "Escape") {
              event.stopPropagation();
              setEdited(undefined);
            }
          }}
        />
      )}
      <div class="actions small">
        {edited === undefined ? (
          <button type="button" disabled={isRunning} onClick={() => setEdited(message.content)}>
            Edit
          </button>
        ) : (
          <>
            <button type="button" class="primary" onClick={submit}>
              Send
            </button>
            <button type="button" onClick={() => setEdited(undefined)}>
              Cancel
            </button>
          </>
        )}
      </div>
    </article>
  );
}
