// What every language must say: exactly what English says.
import type account from "./en/account.ts";
import type chat from "./en/chat.ts";
import type errors from "./en/errors.ts";
import type frame from "./en/frame.ts";
import type kept from "./en/kept.ts";
import type market from "./en/market.ts";
import type proof from "./en/proof.ts";
import type shell from "./en/shell.ts";

export interface Catalogue {
  frame: typeof frame;
  shell: typeof shell;
  chat: typeof chat;
  errors: typeof errors;
  proof: typeof proof;
  market: typeof market;
  account: typeof account;
  kept: typeof kept;
}
