// Light, dark, or as the system has it. The only thing that this page keeps in a browser.

import { store } from "../lib/store";

export type Theme = "auto" | "light" | "dark";

const KEY = "tallyport-theme";

export const theme = store<Theme>(kept());

export function applyTheme(): void {
  const apply = () => {
    const chosen = theme.get();
    if (chosen === "auto") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = chosen;
  };
  apply();
  theme.subscribe(apply);
}

export function chooseTheme(next: Theme): void {
  theme.set(next);
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // A browser that keeps nothing: the choice lasts as long as the page.
  }
}

function kept(): Theme {
  try {
    const text = localStorage.getItem(KEY);
    return text === "light" || text === "dark" ? text : "auto";
  } catch {
    return "auto";
  }
}
