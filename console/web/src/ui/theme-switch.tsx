import { useStore } from "../lib/store";
import { chooseTheme, theme, type Theme } from "../state/theme";

const NAMES: Record<Theme, string> = { auto: "Auto", light: "Light", dark: "Dark" };

export function ThemeSwitch() {
  const now = useStore(theme);
  return (
    <select
      class="button small"
      aria-label="Theme"
      data-testid="theme"
      value={now}
      onChange={(event) => chooseTheme(event.currentTarget.value as Theme)}
    >
      {Object.entries(NAMES).map(([id, name]) => (
        <option key={id} value={id}>
          {name}
        </option>
      ))}
    </select>
  );
}
