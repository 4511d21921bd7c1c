// How often a job is looked at: often while text comes, more rarely when none does, rarely while nobody looks.
import { LOOK_HIDDEN_MS, LOOK_MS, LOOK_MS_MAX } from "../limits.ts";

export class Pace {
  #ms = LOOK_MS;

  /** Something new was seen. */
  busy(): void {
    this.#ms = LOOK_MS;
  }

  quiet(): void {
    this.#ms = Math.min(this.#ms * 1.5, LOOK_MS_MAX);
  }

  get ms(): number {
    return document.hidden ? LOOK_HIDDEN_MS : this.#ms;
  }

  /** Ends early when the page is looked at again, the network is back, or the signal says so. */
  pause(signal: AbortSignal, ms = this.ms): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        document.removeEventListener("visibilitychange", seen);
        removeEventListener("online", end);
        signal.removeEventListener("abort", end);
        resolve();
      };
      const seen = (): void => {
        if (!document.hidden) end();
      };
      const timer = setTimeout(end, ms);
      document.addEventListener("visibilitychange", seen);
      addEventListener("online", end);
      signal.addEventListener("abort", end);
    });
  }
}
