/** Does something with each of a list, so many at once. After a failure nothing more is begun; what was begun is waited for. */
export async function each<T>(list: T[], atOnce: number, run: (entry: T) => Promise<void>): Promise<void> {
  const failures: unknown[] = [];
  let next = 0;
  async function work(): Promise<void> {
    while (failures.length === 0 && next < list.length) await run(list[next++] as T).catch((error: unknown) => failures.push(error));
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, list.length) }, work));
  if (failures.length > 0) throw failures[0];
}
