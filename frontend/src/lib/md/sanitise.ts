// The last gate before anything becomes part of the page.
import DOMPurify from "dompurify";

const TEXT = {
  ALLOWED_TAGS: [
    ..."a b blockquote br code del div em h1 h2 h3 h4 h5 h6 hr i li ol p pre s span strong sub sup table tbody td th thead tr ul".split(" "),
  ],
  ALLOWED_ATTR: ["href", "target", "rel", "class", "start", "data-tex", "data-block", "data-lang", "tabindex"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
};

/** HTML that the page may hold: trusted, where the browser knows such a thing. */
export function sanitise(html: string): string {
  // Svelte takes trusted HTML where it takes text.
  return DOMPurify.sanitize(html, { ...TEXT, RETURN_TRUSTED_TYPE: true }) as unknown as string;
}

/** Colours of code: spans with classes and nothing else. */
export function codeFragment(html: string): DocumentFragment {
  return DOMPurify.sanitize(html, { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true });
}

/** Formulas: MathML without links, images or styles that reach beyond it. */
export function mathFragment(html: string): DocumentFragment {
  return DOMPurify.sanitize(html, {
    USE_PROFILES: { mathMl: true },
    FORBID_TAGS: ["annotation", "annotation-xml", "semantics", "maction"],
    FORBID_ATTR: ["href", "style", "id"],
    RETURN_DOM_FRAGMENT: true,
  });
}
