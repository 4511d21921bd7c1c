/**
 * Does something with each of a list, so many at once. After a failure nothing more is begun, unless it `concerns` that one alone;
 * what was begun is waited for.
 */
export async function each<T>(
  list: T[],
  atOnce: number,
  run: (entry: T) => Promise<void>,
  concerns: (error: unknown) => boolean = () => false,
): Promise<void> {
  const failures: unknown[] = [];
  let next = 0;
  let over = false;
  function fail(error: unknown): void {
    failures.push(error);
    over ||= !concerns(error);
  }
  async function work(): Promise<void> {
    while (!over && next < list.length) await run(list[next++] as T).catch(fail);
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, list.length) }, work));
  if (failures.length > 0) throw failures.find((error) => !concerns(error)) ?? failures[0];
}
