// A device whose clock is wrong signs calls that the network refuses as too old or too new. The agent would ask for the time and
// try again without an end, because that question is refused as well; here it ends.

/** Refusals in a row after which the clock is taken to be wrong. */
const REFUSALS_MAX = 4;
/** Milliseconds for which nothing more is sent then. */
const PAUSE_MS = 5_000;

export class WrongClock extends Error {
  override name = "WrongClock";
}

let refusals = 0;
let until = 0;

/** Whether the network has just refused several calls for their time. */
export const clockIsWrong = (): boolean => performance.now() < until;

export async function guardedFetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  if (clockIsWrong()) throw new WrongClock("the clock of this device is wrong");
  const answer = await fetch(input, init);
  if (answer.status !== 400 || !/expir/i.test(await answer.clone().text())) {
    if (answer.ok) refusals = 0;
    return answer;
  }
  refusals++;
  if (refusals < REFUSALS_MAX) return answer;
  refusals = 0;
  until = performance.now() + PAUSE_MS;
  throw new WrongClock("the clock of this device is wrong");
}
