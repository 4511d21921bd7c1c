import type { Catalogue } from "../types.ts";
import en from "../en/account.ts";

const words: Catalogue["account"] = en;
export default words;
