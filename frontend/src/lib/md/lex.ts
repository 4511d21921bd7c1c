// Answers as blocks. While text streams in, only the last block changes, so only that one is drawn again.
import { Marked, type Token, type TokenizerAndRendererExtension, type Tokens } from "marked";
import { mend } from "./mend.ts";

export interface Block {
  raw: string;
  token: Token;
}

/** A formula: `$$…$$` and `\[…\]` stand alone, `\(…\)` within a line. A lone dollar sign is money. */
export interface MathToken extends Tokens.Generic {
  type: "math" | "mathInline";
  raw: string;
  tex: string;
}

const BLOCK = /^(?:\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\])[ \t]*(?:\n|$)/;
const INLINE = /^(?:\\\(([\s\S]+?)\\\)|\$\$([^\n]+?)\$\$)/;

const math: TokenizerAndRendererExtension = {
  name: "math",
  level: "block",
  // Only where a line begins: elsewhere it would cut a paragraph in two.
  start: (source) => at(source, /(?<=\n)(?:\$\$|\\\[)/),
  tokenizer(source): MathToken | undefined {
    const found = BLOCK.exec(source);
    return found === null ? undefined : { type: "math", raw: found[0], tex: (found[1] ?? found[2] ?? "").trim() };
  },
};

const mathInline: TokenizerAndRendererExtension = {
  name: "mathInline",
  level: "inline",
  start: (source) => at(source, /\\\(|\$\$/),
  tokenizer(source): MathToken | undefined {
    const found = INLINE.exec(source);
    return found === null ? undefined : { type: "mathInline", raw: found[0], tex: (found[1] ?? found[2] ?? "").trim() };
  },
};

function at(source: string, what: RegExp): number | undefined {
  const index = source.search(what);
  return index < 0 ? undefined : index;
}

export const marked = new Marked({ gfm: true, breaks: false });
marked.use({ extensions: [math, mathInline] });

export function blocks(text: string, streaming: boolean): Block[] {
  const tokens = marked.lexer(text).filter(({ type }) => type !== "space" && type !== "def");
  const last = tokens.at(-1);
  if (streaming && last !== undefined && (last.type === "paragraph" || last.type === "list" || last.type === "heading")) {
    const mended = mend(last.raw);
    if (mended !== last.raw) tokens.splice(-1, 1, ...marked.lexer(mended).filter(({ type }) => type !== "space"));
  }
  return tokens.map((token) => ({ raw: token.raw, token }));
}
