import { model, models, server, type Tab, tab, theme } from "../state.ts";

const tabs: readonly { readonly key: Tab; readonly label: string; readonly short?: string; readonly class?: string }[] =
  [
    { key: "chat", label: "Chat" },
    { key: "rounds", label: "Rounds", class: "narrow-only" },
    { key: "race", label: "Race" },
    { key: "machine", label: "Under the hood", short: "Hood" },
  ];

const themes = ["auto", "dark", "light"];

export function Header() {
  const nextTheme = themes[(themes.indexOf(theme.value) + 1) % themes.length] ?? "auto";
  return (
    <header class="header">
      <h1>
        idlm <span class="wide-only">playground</span>
      </h1>
      <nav aria-label="Views">
        {tabs.map(({ key, label, short, class: extra = "" }) => (
          <button
            key={key}
            type="button"
            class={`tab ${extra}`}
            aria-current={tab.value === key ? "page" : undefined}
            onClick={() => {
              tab.value = key;
            }}
          >
            {short === undefined ? label : <span class="wide-only">{label}</span>}
            {short !== undefined && <span class="narrow-only">{short}</span>}
          </button>
        ))}
      </nav>
      <div class="header-end">
        {models.value.length > 1 ? (
          <select
            aria-label="Model"
            value={model.value}
            onChange={(event) => {
              model.value = event.currentTarget.value;
            }}
          >
            {models.value.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        ) : (
          <span class="model wide-only" title="The model that answers">
            {model.value}
          </span>
        )}
        <span class={`dot ${server.value.kind}`} title={stateText[server.value.kind]}>
          <span class="hidden">Server: {stateText[server.value.kind]}</span>
        </span>
        <button
          type="button"
          class="quiet"
          title="Colours: as the system, dark, light"
          aria-label={`Colours: ${theme.value}; change to ${nextTheme}`}
          onClick={() => {
            theme.value = nextTheme;
          }}
        >
          {theme.value === "auto" ? "◐" : theme.value === "dark" ? "●" : "○"}
        </button>
      </div>
    </header>
  );
}

const stateText = { ready: "ready", gone: "not reachable", busy: "busy", key: "asks for a key" } as const;
