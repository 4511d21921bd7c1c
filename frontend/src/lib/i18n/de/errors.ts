import type { Catalogue } from "../types.ts";
import en from "../en/errors.ts";

const words: Catalogue["errors"] = en;
export default words;
