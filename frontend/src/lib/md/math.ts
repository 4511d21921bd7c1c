// Formulas as MathML, which is drawn by the browser and read aloud by screen readers. A chunk of its own.
import temml from "temml";
import { MATH_CHARS_MAX } from "../limits.ts";
import { mathFragment } from "./sanitise.ts";

export function typeset(tex: string, block: boolean): DocumentFragment | undefined {
  if (tex.length > MATH_CHARS_MAX) return undefined;
  try {
    return mathFragment(temml.renderToString(tex, { displayMode: block, throwOnError: true, maxExpand: 200, trust: false }));
  } catch {
    return undefined;
  }
}
