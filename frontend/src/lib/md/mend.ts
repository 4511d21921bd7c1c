// Half-typed marks at the end of a text that is still coming: closed or hidden, so that they do not flicker.

export function mend(text: string): string {
  const start = text.lastIndexOf("\n") + 1;
  let line = text.slice(start);
  // A link whose address is not whole yet is its text only.
  line = line.replace(/!?\[([^\]\n]*)\]\([^)\n]*$/, "$1").replace(/!?\[([^\]\n]*)$/, "$1");
  const code = count(line, "`") % 2 === 1;
  if (code) return text.slice(0, start) + (line.endsWith("`") ? line.slice(0, -1) : `${line}\``);
  const outside = line.replace(/`[^`]*`/g, "");
  for (const mark of ["**", "__", "~~"]) {
    if (outside.split(mark).length % 2 === 0) {
      line = line.endsWith(mark) ? line.slice(0, -2) : `${line.trimEnd()}${mark}`;
    }
  }
  return text.slice(0, start) + line;
}

function count(text: string, mark: string): number {
  return text.split(mark).length - 1;
}
