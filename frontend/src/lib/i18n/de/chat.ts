import type { Catalogue } from "../types.ts";
import en from "../en/chat.ts";

const words: Catalogue["chat"] = en;
export default words;
