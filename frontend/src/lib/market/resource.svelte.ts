// Something that is read from the network, perhaps again and again while it is looked at.
import type { Trouble } from "../chat/types.ts";

export class Resource<T> {
  value: T | undefined = $state.raw();
  trouble: Trouble | undefined = $state.raw();
  /** When it was read last. */
  at = $state(0);
  #read: () => Promise<T>;

  constructor(read: () => Promise<T>) {
    this.#read = read;
  }

  load = async (): Promise<void> => {
    try {
      this.value = await this.#read();
      this.at = Date.now();
      this.trouble = undefined;
    } catch (error) {
      const { trouble } = await import("../ic/errors.ts");
      this.trouble = trouble(error);
    }
  };

  /** Reads now, and then every so many milliseconds as long as the page is in sight. For an effect: it returns how to end. */
  every(ms: number): () => void {
    void this.load();
    const timer = setInterval(() => {
      if (!document.hidden) void this.load();
    }, ms);
    return () => clearInterval(timer);
  }

  /** For an effect that reads once. */
  once(): void {
    void this.load();
  }
}
