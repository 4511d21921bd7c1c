// Amounts as people write them: digits, perhaps in groups, perhaps with k, M, G or T.

const UNITS: Record<string, bigint> = { "": 1n, k: 1_000n, m: 1_000_000n, g: 1_000_000_000n, t: 1_000_000_000_000n };

/** Whole cycles; nothing for what is no amount. */
export function readAmount(text: string): bigint | undefined {
  const found = /^(\d{1,39})(?:[.,](\d{1,12}))?([kmgt]?)$/i.exec(text.trim().replace(/[_\s']/g, ""));
  if (found === null) return undefined;
  const [, whole = "0", part = "", letter = ""] = found;
  const unit = UNITS[letter.toLowerCase()] ?? 1n;
  const scale = 10n ** BigInt(part.length);
  const amount = (BigInt(whole + part) * unit) / scale;
  return (BigInt(whole + part) * unit) % scale === 0n ? amount : undefined;
}
