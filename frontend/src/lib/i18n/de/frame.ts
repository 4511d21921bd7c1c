import type { Catalogue } from "../types.ts";
import en from "../en/frame.ts";

const words: Catalogue["frame"] = en;
export default words;
