import type { Catalogue } from "../types.ts";
import en from "../en/proof.ts";

const words: Catalogue["proof"] = en;
export default words;
