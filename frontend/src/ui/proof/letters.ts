// Equal hashes get the same letter and the same colour, so that agreement is seen at a glance and without colours, too.

/** One letter for each distinct hash, in the order in which they come; nothing for what was not revealed. */
export function letters(hashes: (string | undefined)[]): (string | undefined)[] {
  const seen: string[] = [];
  return hashes.map((hash) => {
    if (hash === undefined) return undefined;
    if (!seen.includes(hash)) seen.push(hash);
    return String.fromCharCode(65 + (seen.indexOf(hash) % 26));
  });
}

const TONES = ["var(--good)", "var(--bad)", "var(--warn)", "var(--calm)"];

export function toneOf(letter: string): string {
  return TONES[(letter.charCodeAt(0) - 65) % TONES.length] ?? "var(--calm)";
}
