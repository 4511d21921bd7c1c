import type { Catalogue } from "../types.ts";
import en from "../en/shell.ts";

const words: Catalogue["shell"] = en;
export default words;
