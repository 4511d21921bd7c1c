// Light, dark, or as the system says.
import { prefs, savePrefs, type Theme } from "./prefs.svelte.ts";

export function applyTheme(): void {
  if (prefs.theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = prefs.theme;
}

export function setTheme(theme: Theme): void {
  prefs.theme = theme;
  savePrefs();
  applyTheme();
}
