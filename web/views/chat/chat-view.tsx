import type { Signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { Message } from "../../conversation/conversation.ts";
import { running, send } from "../../conversation/send.ts";
import { current, frame, selection, showRejected, showSources, tab } from "../../state.ts";
import { AnswerView } from "./answer-view.tsx";
import { Composer } from "./composer.tsx";
import { isListOpen, startNew } from "./conversation-list.tsx";
import { SettingsButton } from "./settings-dialog.tsx";
import { TokenTip } from "./token-tip.tsx";
import { UserMessage } from "./user-message.tsx";

const EXAMPLES = [
  "What is a forest?",
  "Give me three tips for staying healthy.",
  "Write a Python function that reverses a list.",
];

export function ChatView() {
  const conversation = current.value;
  const { id, messages } = conversation;
  useEffect(() => {
    const last = messages.findLast((message) => message.role === "assistant");
    selection.value = { answer: last?.answer, round: undefined };
  }, [id]);
  return (
    <section class="chat" aria-label="Chat">
      <div class="toolbar">
        <button
          type="button"
          aria-label="Conversations"
          aria-expanded={isListOpen.value === "yes"}
          onClick={() => {
            isListOpen.value = isListOpen.value === "yes" ? "no" : "yes";
          }}
        >
          <span class="wide-only">Conversations</span>
          <span class="narrow-only" aria-hidden="true">
            ☰
          </span>
        </button>
        <button type="button" title="Alt+N" onClick={startNew}>
          New
        </button>
        <SettingsButton />
        <span class="spring" />
        <Toggle state={showSources} label="sources" title="Colour tokens by where they came from" />
        <Toggle state={showRejected} label="rejected" title="Show what was proposed and thrown away" />
      </div>
      <Messages messages={messages} />
      {/* For those who do not see the text grow: its end is announced, not every word. */}
      <p class="hidden" role="status">
        {running.value.has(id) ? "Generating an answer." : messages.length > 0 ? "The answer is complete." : ""}
      </p>
      <Composer key={id} />
      <TokenTip />
    </section>
  );
}

interface ToggleProps {
  readonly state: Signal<string>;
  readonly label: string;
  readonly title: string;
}

/** A remembered choice between yes and no. */
function Toggle({ state, label, title }: ToggleProps) {
  return (
    <label class="check" title={title}>
      <input
        type="checkbox"
        checked={state.value === "yes"}
        onChange={(event) => {
          state.value = event.currentTarget.checked ? "yes" : "no";
        }}
      />
      {label}
    </label>
  );
}

function Messages({ messages }: { readonly messages: readonly Message[] }) {
  const list = useRef<HTMLDivElement>(null);
  const isFollowing = useRef(true);
  // Follows the text while it grows, unless the reader has scrolled up.
  // The frame after the end, too: it shows what can be done with the answer.
  const growth = frame.value;
  const rejected = showRejected.value;
  useLayoutEffect(() => {
    const { current: element } = list;
    if (element !== null && isFollowing.current) element.scrollTop = element.scrollHeight;
  }, [growth, rejected, messages]);
  if (messages.length === 0) return <Welcome />;
  return (
    <div
      ref={list}
      class="messages"
      role="log"
      aria-live="off"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, which the keyboard has to reach
      tabIndex={0}
      aria-label="Messages"
      onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
        isFollowing.current = scrollHeight - scrollTop - clientHeight < 40;
      }}
    >
      {messages.map((message, i) =>
        message.role === "assistant" ? (
          <AnswerView key={i} answer={message.answer} index={i} isLast={i === messages.length - 1} />
        ) : (
          <UserMessage key={i} message={message} index={i} />
        ),
      )}
    </div>
  );
}

function Welcome() {
  return (
    <div class="messages welcome">
      <h2>Several tokens per forward, the same bytes</h2>
      <p>
        Each forward of the model <b>proposes</b> the next tokens and <b>verifies</b> the ones proposed before. A
        proposal stands only if it is exactly what the model alone would have written; all others are{" "}
        <del class="inline">thrown away</del>. Ask something and watch the{" "}
        <span class="token source-mask-1">accepted</span> <span class="token source-mask-2">proposals</span> among the
        drawn tokens.
      </p>
      <ul class="examples">
        {EXAMPLES.map((text) => (
          <li key={text}>
            <button type="button" onClick={() => void send([{ role: "user", content: text }])}>
              {text}
            </button>
          </li>
        ))}
        <li>
          <button
            type="button"
            class="primary"
            onClick={() => {
              tab.value = "race";
            }}
          >
            Race it against plain decoding
          </button>
        </li>
      </ul>
      <ul class="keys muted wide-only">
        <li>
          <kbd>Esc</kbd> stops
        </li>
        <li>
          <kbd>/</kbd> message
        </li>
        <li>
          <kbd>Alt</kbd> <kbd>N</kbd> new conversation
        </li>
        <li>
          <kbd>Alt</kbd> <kbd>1</kbd> <kbd>2</kbd> <kbd>3</kbd> chat, race, hood
        </li>
      </ul>
    </div>
  );
}
