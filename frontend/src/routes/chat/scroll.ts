// Follows new text while the reader is at the end, and leaves the reader alone everywhere else.

const NEAR = 64;

export function follows(scroller: HTMLElement): { stick: () => void; toQuestion: (node: HTMLElement) => void; end: () => void } {
  let attached = true;
  const away = (): number => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;

  const detach = (event: Event): void => {
    const up =
      (event instanceof WheelEvent && event.deltaY < 0) ||
      event.type === "touchmove" ||
      (event instanceof KeyboardEvent && ["PageUp", "Home", "ArrowUp"].includes(event.key) && !(event.target instanceof HTMLTextAreaElement));
    if (up) attached = false;
  };
  const attach = (): void => {
    if (away() < NEAR) attached = true;
  };
  const stick = (): void => {
    if (attached) scroller.scrollTop = scroller.scrollHeight;
  };

  scroller.addEventListener("wheel", detach, { passive: true });
  scroller.addEventListener("touchmove", detach, { passive: true });
  addEventListener("keydown", detach);
  scroller.addEventListener("scroll", attach, { passive: true });
  // The keyboard of a phone takes room away.
  visualViewport?.addEventListener("resize", stick);

  return {
    stick,
    /** A new question goes near the top, so that its answer has room. */
    toQuestion(node) {
      attached = true;
      node.scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    },
    end() {
      scroller.removeEventListener("wheel", detach);
      scroller.removeEventListener("touchmove", detach);
      removeEventListener("keydown", detach);
      scroller.removeEventListener("scroll", attach);
      visualViewport?.removeEventListener("resize", stick);
    },
  };
}
