import type { Catalogue } from "../types.ts";
import en from "../en/market.ts";

const words: Catalogue["market"] = en;
export default words;
