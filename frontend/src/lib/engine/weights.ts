// Weights in the origin's private file system. Runs in the engine's worker, which alone may write there piece by piece.
import type { Progress } from "$engine/engine.js";

export class WeightsError extends Error {
  override name = "WeightsError";
}

/** What files of the private file system can do in a worker, which the types of pages do not say. */
interface SyncFile extends FileSystemFileHandle {
  createSyncAccessHandle(): Promise<{
    truncate(size: number): void;
    write(bytes: Uint8Array, options: { at: number }): number;
    flush(): void;
    close(): void;
  }>;
  move(name: string): Promise<void>;
}

type Tell = (progress: Progress) => void;

async function folder(): Promise<FileSystemDirectoryHandle> {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle("models", { create: true });
}

const fileName = (root: string): string => `${root}.assay`;

export async function stored(root: string): Promise<File | undefined> {
  try {
    return await (await (await folder()).getFileHandle(fileName(root))).getFile();
  } catch {
    return undefined;
  }
}

export async function remove(root: string): Promise<void> {
  const models = await folder();
  for (const name of [fileName(root), `${fileName(root)}.part`]) await models.removeEntry(name).catch(() => undefined);
}

/** Fetches from the first address that has the file. */
export async function fetchFrom(urls: string[], bytes: number, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
  const problems: string[] = [];
  for (const url of urls) {
    try {
      const answer = await fetch(url, { signal });
      const length = Number(answer.headers.get("content-length") ?? bytes);
      if (answer.ok && answer.body !== null && length === bytes) return answer.body;
      await answer.body?.cancel();
      problems.push(answer.ok ? `${url}: ${length} bytes instead of ${bytes}` : `${url}: status ${answer.status}`);
    } catch (error) {
      if (signal.aborted) throw error;
      problems.push(`${url}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new WeightsError(problems.join("; "));
}

/** Writes a file beside its place and moves it there when it is whole. The engine checks every byte when it opens it. */
export async function keep(root: string, stream: ReadableStream<Uint8Array>, bytes: number, signal: AbortSignal, tell: Tell): Promise<void> {
  const models = await folder();
  const part = await models.getFileHandle(`${fileName(root)}.part`, { create: true });
  const out = await (part as SyncFile).createSyncAccessHandle();
  let done = 0;
  try {
    out.truncate(0);
    const reader = stream.getReader();
    for (;;) {
      signal.throwIfAborted();
      const { value, done: ended } = await reader.read();
      if (ended) break;
      done += out.write(value, { at: done });
      if (done > bytes) throw new WeightsError(`the file is longer than ${bytes} bytes`);
      tell({ done, total: bytes });
    }
    out.flush();
  } catch (error) {
    out.close();
    await models.removeEntry(part.name).catch(() => undefined);
    throw error;
  }
  out.close();
  if (done < bytes) {
    await models.removeEntry(part.name).catch(() => undefined);
    throw new WeightsError(`the file ends after ${done} of ${bytes} bytes`);
  }
  await (part as SyncFile).move(fileName(root));
}
