import { useRef } from "preact/hooks";
import { newConversation } from "../../conversation/conversation.ts";
import { running, stop } from "../../conversation/send.ts";
import { exportText, importText } from "../../conversation/storage.ts";
import { conversations, current, currentId, keep, newId, notice, remembered, storage, tab } from "../../state.ts";
import { focusComposer } from "./composer.tsx";

export const isListOpen = remembered("list", "no");

/** Where the list covers the chat, it closes when a conversation is chosen. */
function open(id: string): void {
  currentId.value = id;
  if (window.matchMedia("(max-width: 60rem)").matches) isListOpen.value = "no";
}

export function startNew(): void {
  open(newId());
  tab.value = "chat";
  focusComposer();
}

/** Conversations in the browser's storage. */
export function ConversationList() {
  const file = useRef<HTMLInputElement>(null);
  if (isListOpen.value !== "yes") return null;
  return (
    <section
      class="conversations"
      aria-label="Conversations"
      onKeyDown={(event) => {
        if (event.key === "Escape") isListOpen.value = "no";
      }}
    >
      <div class="row">
        <h2>Conversations</h2>
        <button
          type="button"
          class="quiet"
          aria-label="Close the list"
          onClick={() => {
            isListOpen.value = "no";
          }}
        >
          ✕
        </button>
      </div>
      <button type="button" class="primary" title="Alt+N" onClick={startNew}>
        New conversation
      </button>
      <ul>
        {conversations.value.map(({ id, title }) => (
          <li key={id} class="row">
            <button
              type="button"
              class="title"
              aria-current={id === currentId.value ? "true" : undefined}
              onClick={() => open(id)}
            >
              {title || "Untitled"}
            </button>
            <button type="button" class="quiet" aria-label={`Delete ${title || "Untitled"}`} onClick={() => remove(id)}>
              ✕
            </button>
          </li>
        ))}
      </ul>
      <p class="muted">They stay in this browser.</p>
      <div class="row">
        <button type="button" onClick={exportAll} disabled={conversations.value.length === 0}>
          Export
        </button>
        <button type="button" onClick={() => file.current?.click()}>
          Import
        </button>
      </div>
      <input
        ref={file}
        type="file"
        accept=".json,application/json"
        class="hidden"
        tabIndex={-1}
        aria-label="File with conversations"
        onChange={(event) => void importFile(event.currentTarget)}
      />
    </section>
  );
}

function remove(id: string): void {
  const { title } = conversations.value.find((one) => one.id === id) ?? newConversation(id);
  if (!window.confirm(`Delete “${title || "Untitled"}”? There is no way back.`)) return;
  if (running.value.has(id)) stop(id);
  storage.delete(id);
  conversations.value = conversations.value.filter((one) => one.id !== id);
  if (currentId.value === id) currentId.value = conversations.value[0]?.id ?? newId();
}

function exportAll(): void {
  const url = URL.createObjectURL(new Blob([exportText(conversations.value)], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `idlm-conversations-${new Date().toISOString().slice(0, 10)}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

async function importFile(input: HTMLInputElement): Promise<void> {
  const [file] = input.files ?? [];
  if (file === undefined) return;
  try {
    const read = importText(await file.text());
    for (const conversation of read) {
      // One with the same id is another one, unless it is the same.
      const isTaken = conversations.value.some(({ id }) => id === conversation.id);
      keep(isTaken ? { ...conversation, id: newId() } : conversation);
    }
    currentId.value = read[0] === undefined ? current.value.id : (conversations.value[0]?.id ?? currentId.value);
    notice.value = `Imported ${read.length} ${read.length === 1 ? "conversation" : "conversations"}.`;
  } catch (error) {
    notice.value = error instanceof Error ? error.message : String(error);
  }
  input.value = "";
}
