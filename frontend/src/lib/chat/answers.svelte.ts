// Asking, asking again, editing, stopping, and going on after a reload.
import { random } from "../bytes.ts";
import { env, jobs, me, ownerOf } from "../ic/connection.ts";
import { Refusal, isPassing, ok, trouble } from "../ic/errors.ts";
import type { Quote, SubmitArgs } from "../ic/types.ts";
import { DEADLINE_SECONDS, FOLLOWED_MAX } from "../limits.ts";
import { money } from "../market/money.svelte.ts";
import { offers, type Offered } from "../market/offers.svelte.ts";
import { prefs, type Drawing, type Place, type Sureness } from "../prefs.svelte.ts";
import { chats } from "./chats.svelte.ts";
import { context, type Context } from "./context.ts";
import { follow, proveAgain } from "./follow.ts";
import { jobRequest } from "./request.ts";
import { titleOf } from "./title.ts";
import { path } from "./tree.ts";
import type { Question, Reply, Turn } from "./types.ts";

/** How a question shall be answered. */
export interface Manner {
  place: Place;
  model: string;
  sureness: Sureness;
  drawing: Drawing;
}

export function manner(): Manner {
  const { place, model, sureness, drawing } = $state.snapshot(prefs);
  return { place, model: offers.pick(model)?.name ?? model, sureness, drawing };
}

const running = new Map<string, AbortController>();

/** Asks in a chat, below its last turn, or in a new one. */
export async function ask(text: string, how: Manner, chatId: string): Promise<string> {
  const chat = chats.chat(chatId) ?? chats.create();
  if (chat.title === "") chat.title = titleOf(text);
  chat.draft = "";
  const question: Question = { id: crypto.randomUUID(), chat: chat.id, parent: chat.leaf, created: Date.now(), role: "user", text };
  chats.open = chat.id;
  await chats.add(question);
  void answer(question, how);
  return chat.id;
}

/** Another question in the place of this one; what was asked before stays as a branch. */
export async function edit(old: Question, text: string, how: Manner): Promise<void> {
  const question: Question = { ...$state.snapshot(old), id: crypto.randomUUID(), created: Date.now(), text };
  await chats.add(question);
  void answer(question, how);
}

/** Another answer beside this one. */
export async function again(reply: Reply, how: Manner): Promise<void> {
  const question = chats.turns.get(reply.parent);
  if (question?.role === "user") await answer(question, how);
}

/** What a question would cost at most, and what of the conversation would go with it. */
export async function price(turns: Turn[], how: Manner): Promise<{ quote: Quote; context: Context }> {
  const said = contextFor(turns, how, offers.pick(how.model));
  const canister = await jobs();
  const quote = ok("submit", await canister.quote(jobRequest(how.model, said.messages, how.drawing, how.sureness)));
  return { quote, context: said };
}

function contextFor(turns: Turn[], how: Manner, model: Offered | undefined): Context {
  return context(turns, how.drawing.system, model?.model.manifest.context_max ?? 2_048, how.drawing.maxTokens);
}

async function answer(question: Question, how: Manner): Promise<void> {
  const reply: Reply = {
    id: crypto.randomUUID(),
    chat: question.chat,
    parent: question.id,
    created: Date.now(),
    role: "assistant",
    text: "",
    place: how.place,
    model: how.model,
    phase: "sending",
    open: 1,
    stopped: false,
    round: 0,
    cursor: 0,
    proof: { kind: "none" },
    left: 0,
  };
  await chats.add(reply);
  const live = chats.reply(reply.id);
  if (live === undefined) return;
  if (how.place === "device") {
    const { answerHere } = await import("../engine/answer.ts");
    const turns = path(chats.turns, question.id);
    return work(live, (signal, save) => answerHere(live, turns, how, signal, save));
  }
  try {
    await prepare(live, question, how);
  } catch (error) {
    live.trouble = trouble(error);
    live.phase = "failed";
    live.open = 0;
    return chats.saveTurn(live.id);
  }
  return resume(live);
}

/** Everything that a submit needs is fixed and kept before it is sent, so that it can be sent again word for word. */
async function prepare(reply: Reply, question: Question, how: Manner): Promise<void> {
  if (offers.models.length === 0) await offers.load();
  if (how.model === "") how = { ...how, model: offers.pick("")?.name ?? "" };
  const identity = await me();
  const { quote, context } = await price(path(chats.turns, question.id), how);
  const args: SubmitArgs = {
    request: jobRequest(how.model, context.messages, how.drawing, how.sureness),
    // The sponsor pool pays for people without money at exactly this price.
    price_cap: quote.price_max,
    deadline_seconds: DEADLINE_SECONDS,
    idempotency_key: random(16),
  };
  reply.model = how.model;
  reply.owner = identity.getPrincipal().toText();
  reply.args = args;
  reply.shard = env().jobs.toText();
  reply.quoted = quote.price_max;
  reply.left = context.left;
  await chats.saveTurn(reply.id);
}

/** Goes on with a reply of the network where it was left. */
export async function resume(reply: Reply): Promise<void> {
  const identity = await ownerOf(reply.owner ?? "");
  if (identity === undefined || reply.args === undefined) {
    reply.trouble = { area: "call", name: identity === undefined ? "OtherOwner" : "Lost", detail: { owner: reply.owner ?? "" } };
    reply.phase = "failed";
    reply.open = 0;
    return chats.saveTurn(reply.id);
  }
  await work(reply, (signal, save) => follow(reply, identity, signal, save));
  // What it cost is no longer there for the next question.
  return money.load();
}

/** Does what a reply needs; of several tabs, one. */
async function work(reply: Reply, run: (signal: AbortSignal, save: () => Promise<void>) => Promise<void>): Promise<void> {
  if (running.has(reply.id)) return;
  const abort = new AbortController();
  running.set(reply.id, abort);
  const save = (): Promise<void> => chats.saveTurn(reply.id);
  const alone = (): Promise<void> => run(abort.signal, save);
  try {
    if (navigator.locks === undefined) await alone();
    else await navigator.locks.request(`assay-reply-${reply.id}`, { ifAvailable: true }, async (lock) => (lock === null ? undefined : alone()));
  } finally {
    running.delete(reply.id);
  }
}

/** Goes on with everything that was under way when the page was left. */
export async function resumeAll(): Promise<void> {
  const open = await chats.unfinished();
  for (const kept of open.sort((a, b) => b.created - a.created).slice(0, FOLLOWED_MAX)) {
    const reply = chats.adopt(kept);
    if (reply.place === "network") void resume(reply);
    else {
      // What ran in this page ended with it.
      reply.phase = "ended";
      reply.stopped = true;
      reply.open = 0;
      await chats.saveTurn(reply.id);
    }
  }
}

/** What a stop came to: on the network an answer that was shown in part is paid for, and ends by itself. */
export type Stopped = "cancelled" | "goes on" | "stopped";

export async function stop(reply: Reply): Promise<Stopped> {
  reply.stopped = true;
  if (reply.place === "device" || reply.job === undefined) {
    running.get(reply.id)?.abort();
    if (reply.job === undefined && reply.place === "network") {
      reply.phase = "ended";
      reply.open = 0;
    }
    await chats.saveTurn(reply.id);
    return "stopped";
  }
  await chats.saveTurn(reply.id);
  const identity = await ownerOf(reply.owner ?? "");
  const canister = await jobs(reply.shard, identity);
  try {
    ok("job", await canister.cancel(BigInt(reply.job)));
    return "cancelled";
  } catch (error) {
    if (error instanceof Refusal || isPassing(error)) return "goes on";
    throw error;
  }
}

/** Tries once more what failed: the way to the job if there is one, else the same words under the same key. */
export async function retry(reply: Reply): Promise<void> {
  const question = chats.turns.get(reply.parent);
  if (reply.place === "device" || reply.args === undefined || reply.trouble?.area === "submit") {
    if (question?.role === "user") return answer(question, { ...manner(), place: reply.place, model: reply.model });
    return;
  }
  delete reply.trouble;
  reply.phase = reply.job === undefined ? "sending" : "queued";
  reply.open = 1;
  return resume(reply);
}

/** Fetches and checks a receipt once more. */
export async function checkAgain(reply: Reply): Promise<void> {
  const identity = await ownerOf(reply.owner ?? "");
  if (identity === undefined) return;
  await proveAgain(reply, identity);
  await chats.saveTurn(reply.id);
}
