// Installs the service worker, which lets the page open without a network.
import { words } from "../lib/i18n/index.svelte.ts";
import { toast } from "../lib/toasts.svelte.ts";
import { scriptUrl } from "../lib/trusted.ts";

export function offline(): void {
  if (!import.meta.env.PROD || !("serviceWorker" in navigator)) return;
  void navigator.serviceWorker.register(scriptUrl("/sw.js")).then((registration) => {
    registration.addEventListener("updatefound", () => {
      const next = registration.installing;
      next?.addEventListener("statechange", () => {
        // The first one takes its place by itself; another one waits for whoever reads the old page.
        if (next.state === "installed" && navigator.serviceWorker.controller !== null) offer(next);
      });
    });
  }, () => undefined);
}

function offer(next: ServiceWorker): void {
  const run = (): void => {
    navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
    next.postMessage("take over");
  };
  toast(words.shell.update.ready, { ms: 60_000, action: { label: words.shell.update.reload, run } });
}
