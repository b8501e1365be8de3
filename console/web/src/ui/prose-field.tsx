import { useId } from "preact/hooks";
import { byteLength, MAX_PROSE_BYTES, proseFault } from "../lib/prose";

/** What a person writes along; the bytes are counted as the gateway counts them. */
export function ProseField({ label, hint, value, onChange, testid, required = false, disabled = false }: {
  label: string;
  hint?: string;
  value: string;
  onChange: (value: string) => void;
  testid: string;
  required?: boolean;
  disabled?: boolean;
}) {
  const [field, told] = [useId(), useId()];
  const fault = proseFault(value);
  return (
    <div class="field">
      <label for={field}>
        {label} <span class="quiet">{required ? "(required)" : "(optional)"}</span>
      </label>
      <textarea
        id={field}
        rows={3}
        value={value}
        required={required}
        disabled={disabled}
        data-testid={testid}
        aria-describedby={told}
        aria-invalid={fault !== null}
        onInput={(event) => onChange(event.currentTarget.value)}
      />
      <p id={told} class={fault ? "field-note bad-text" : "field-note"}>
        <span>{fault ?? hint}</span>
        <span class="count">
          {byteLength(value).toLocaleString("en")} of {MAX_PROSE_BYTES.toLocaleString("en")} bytes
        </span>
      </p>
    </div>
  );
}
