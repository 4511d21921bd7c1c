// One block as HTML. What a model writes is text: its HTML is shown, never used, and nothing is fetched from elsewhere.
import type { Token } from "marked";
import { marked } from "./lex.ts";
import { sanitise } from "./sanitise.ts";

const escape = (text: string): string =>
  text.replace(/[&<>"']/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[sign] ?? sign);

/** Only addresses that lead somewhere a person may look at. */
function safe(href: string): URL | undefined {
  try {
    const url = new URL(href);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url : undefined;
  } catch {
    return undefined;
  }
}

function link(href: string, inner: string, plain: string): string {
  const url = safe(href);
  if (url === undefined) return inner;
  // Where a link leads is shown beside it, unless its text says so.
  const host = url.protocol !== "mailto:" && !plain.includes(url.host) ? ` <span class="host">(${escape(url.host)})</span>` : "";
  return `<a href="${escape(url.href)}" target="_blank" rel="noopener noreferrer nofollow">${inner}</a>${host}`;
}

const formula = (tex: string, block: boolean): string =>
  `<${block ? "div" : "span"} class="math" data-tex="${escape(tex)}" data-block="${block}">${escape(tex)}</${block ? "div" : "span"}>`;

marked.use({
  renderer: {
    html: ({ text }) => escape(text),
    link({ href, tokens, text }) {
      return link(href, this.parser.parseInline(tokens), text);
    },
    image: ({ href, text }) => link(href, escape(text || href), text),
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    code: ({ text, lang }) => `<pre><code data-lang="${escape(lang ?? "")}">${escape(text)}</code></pre>`,
    table(token) {
      const cell = (tag: string) => (entry: (typeof token.header)[number]) =>
        `<${tag}${entry.align === null ? "" : ` class="${entry.align}"`}>${this.parser.parseInline(entry.tokens)}</${tag}>`;
      const head = token.header.map(cell("th")).join("");
      const body = token.rows.map((row) => `<tr>${row.map(cell("td")).join("")}</tr>`).join("");
      return `<div class="table" tabindex="0"><table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`;
    },
  },
  extensions: [
    { name: "math", renderer: (token) => formula(String(token["tex"]), true) },
    { name: "mathInline", renderer: (token) => formula(String(token["tex"]), false) },
  ],
});

export function render(token: Token): string {
  return sanitise(marked.parser([token]));
}
