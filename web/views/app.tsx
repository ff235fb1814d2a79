import { useEffect } from "preact/hooks";
import { running, stop } from "../conversation/send.ts";
import { currentId, notice, type Tab, tab } from "../state.ts";
import { ChatView } from "./chat/chat-view.tsx";
import { focusComposer } from "./chat/composer.tsx";
import { ConversationList, startNew } from "./chat/conversation-list.tsx";
import { Header } from "./header.tsx";
import { MachineView } from "./machine/machine-view.tsx";
import { RaceView } from "./race/race-view.tsx";
import { RoundsPanel } from "./rounds/rounds-panel.tsx";
import { KeyDialog, ServerBanner } from "./server-state.tsx";

export function App() {
  useEffect(() => {
    document.addEventListener("keydown", onShortcut);
    return () => document.removeEventListener("keydown", onShortcut);
  }, []);
  return (
    <div class={`app tab-${tab.value}`}>
      <Header />
      <ServerBanner />
      {notice.value !== "" && (
        <div class="banner" role="status">
          {notice.value}
          <button
            type="button"
            onClick={() => {
              notice.value = "";
            }}
          >
            Close
          </button>
        </div>
      )}
      {tab.value === "chat" || tab.value === "rounds" ? (
        <main class="columns">
          <ConversationList />
          <ChatView />
          <RoundsPanel />
        </main>
      ) : tab.value === "race" ? (
        <RaceView />
      ) : (
        <MachineView />
      )}
      <KeyDialog />
    </div>
  );
}

/** Keys of tabs, with Alt; `/` and Escape work where no text is being typed, or anywhere. */
const TAB_KEYS: Readonly<Record<string, Tab>> = { "1": "chat", "2": "race", "3": "machine" };

/** Escape first closes a dialog. */
function isStoppable(): boolean {
  return running.value.has(currentId.value) && document.querySelector("dialog[open]") === null;
}

function onShortcut(event: KeyboardEvent): void {
  const isTyping = event.target instanceof HTMLElement && event.target.matches("input, textarea, select");
  const next = event.altKey ? TAB_KEYS[event.key] : undefined;
  if (next !== undefined) tab.value = next;
  else if (event.altKey && event.key === "n") startNew();
  else if (event.key === "/" && !isTyping) focusComposer();
  else if (event.key === "Escape" && isStoppable()) stop(currentId.value);
  else return;
  event.preventDefault();
}
