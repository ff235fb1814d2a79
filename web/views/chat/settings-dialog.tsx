import { useRef } from "preact/hooks";
import {
  type ChoiceSetting,
  choiceSettings,
  defaultSettings,
  examples,
  jsonProblem,
  type NumberSetting,
  proposalSettings,
  type Settings,
  samplingSettings,
  toolChoice,
} from "../../conversation/settings.ts";
import { conversations, current, currentId, keep } from "../../state.ts";

/** Settings of the current conversation; new ones begin with those of the last. */
export function SettingsButton() {
  const dialog = useRef<HTMLDialogElement>(null);
  const { settings } = current.value;
  const change = (changes: Partial<Settings>) => {
    const known = conversations.value.some(({ id }) => id === currentId.value);
    const changedAt = known ? current.value.changedAt : Date.now();
    keep({ ...current.value, changedAt, settings: { ...current.value.settings, ...changes } });
  };
  return (
    <>
      <button type="button" onClick={() => dialog.current?.showModal()}>
        Settings
      </button>
      <dialog ref={dialog} class="settings" aria-labelledby="settings-title">
        <form method="dialog">
          <h2 id="settings-title">Settings</h2>
          <label>
            System prompt
            <textarea
              rows={2}
              value={settings.system}
              onInput={(event) => change({ system: event.currentTarget.value })}
            />
          </label>
          <h3>Sampling</h3>
          <Numbers fields={samplingSettings} settings={settings} change={change} />
          <h3>Proposals</h3>
          <div class="fields">
            {choiceSettings.map((choice) => (
              <Choice key={choice.key} choice={choice} settings={settings} change={change} />
            ))}
          </div>
          <Numbers fields={proposalSettings} settings={settings} change={change} />
          <h3>Structure</h3>
          <JsonField
            label="JSON schema of the answer"
            value={settings.schema}
            expected="object"
            example={examples.schema}
            set={(schema) => change({ schema })}
          />
          <JsonField
            label="Tools (a JSON list, as in the API)"
            value={settings.tools}
            expected="list"
            example={examples.tools}
            set={(tools) => change({ tools })}
          />
          {settings.tools.trim() !== "" && (
            <div class="fields">
              <Choice choice={toolChoice} settings={settings} change={change} />
            </div>
          )}
          <label class="check">
            <input
              type="checkbox"
              checked={settings.logprobs}
              onChange={(event) => change({ logprobs: event.currentTarget.checked })}
            />
            Record the likeliest rivals of each token
          </label>
          <div class="actions">
            <button type="button" onClick={() => change(defaultSettings)}>
              Defaults
            </button>
            <button type="submit" class="primary">
              Close
            </button>
          </div>
        </form>
      </dialog>
    </>
  );
}

interface ChoiceProps {
  readonly choice: ChoiceSetting;
  readonly settings: Settings;
  readonly change: (changes: Partial<Settings>) => void;
}

function Choice({ choice: { key, label, values, help }, settings, change }: ChoiceProps) {
  return (
    <label title={help}>
      {label}
      <select
        value={settings.choices[key] ?? values[0]}
        onChange={(event) => {
          const { [key]: _, ...others } = settings.choices;
          const { value } = event.currentTarget;
          change({ choices: value === values[0] ? others : { ...others, [key]: value } });
        }}
      >
        {values.map((value) => (
          <option key={value}>{value}</option>
        ))}
      </select>
    </label>
  );
}

interface NumbersProps {
  readonly fields: readonly NumberSetting[];
  readonly settings: Settings;
  readonly change: (changes: Partial<Settings>) => void;
}

function Numbers({ fields, settings, change }: NumbersProps) {
  return (
    <div class="fields">
      {fields.map(({ key, label, byDefault, min, max, step, help }) => (
        <label key={key} title={help}>
          {label}
          <input
            type="number"
            {...{ min, max, step: "any" }}
            data-step={step}
            placeholder={byDefault}
            value={settings.numbers[key] ?? ""}
            onInput={(event) => {
              const { [key]: _, ...others } = settings.numbers;
              const { value, valueAsNumber } = event.currentTarget;
              if (value === "") change({ numbers: others });
              else if (Number.isFinite(valueAsNumber)) change({ numbers: { ...others, [key]: valueAsNumber } });
            }}
          />
        </label>
      ))}
    </div>
  );
}

interface JsonFieldProps {
  readonly label: string;
  readonly value: string;
  readonly expected: "object" | "list";
  readonly example: string;
  readonly set: (text: string) => void;
}

function JsonField({ label, value, expected, example, set }: JsonFieldProps) {
  const problem = jsonProblem(value, expected);
  return (
    <div>
      <label>
        {label}
        <textarea
          rows={value === "" ? 2 : 6}
          class="code"
          spellcheck={false}
          aria-invalid={problem !== undefined}
          value={value}
          onInput={(event) => set(event.currentTarget.value)}
        />
        {problem !== undefined && <span class="problem">{problem}</span>}
      </label>
      {value === "" && (
        <button
          type="button"
          class="small example"
          aria-label={`${label}: use an example`}
          onClick={() => set(example)}
        >
          Use an example
        </button>
      )}
    </div>
  );
}
