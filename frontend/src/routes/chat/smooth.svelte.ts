// Text that comes in pieces, drawn evenly: each frame shows a share of what is still hidden.

const calm = globalThis.matchMedia?.("(prefers-reduced-motion: reduce)");
/** Of what is hidden, so much is shown with a frame. */
const SHARE = 1 / 24;

export class Smooth {
  shown = $state("");
  #target = "";
  #frame = 0;

  /** What shall be on the page in the end; at once when nothing more comes, or when motion is unwanted. */
  set(text: string, streaming: boolean): void {
    this.#target = text;
    if (!streaming || calm?.matches || document.hidden) this.shown = text;
    else {
      if (!text.startsWith(this.shown)) this.shown = "";
      this.#frame ||= requestAnimationFrame(this.#step);
    }
  }

  end(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
  }

  #step = (): void => {
    this.#frame = 0;
    const hidden = this.#target.length - this.shown.length;
    if (hidden <= 0) return;
    let to = this.shown.length + Math.max(1, Math.ceil(hidden * SHARE));
    // A character of two halves is not cut.
    if (/[\uD800-\uDBFF]/.test(this.#target[to - 1] ?? "")) to++;
    this.shown = this.#target.slice(0, to);
    this.#frame = requestAnimationFrame(this.#step);
  };
}
