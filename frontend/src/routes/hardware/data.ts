// Boards and who has them, counted from the registry's workers, and the registry's own catalogue.
import { registry } from "../../lib/ic/connection.ts";
import { opt, tag, type Board, type HardwareCatalogue, type Worker } from "../../lib/ic/types.ts";
import { boardName } from "../../lib/market/hardware.ts";
import { readWorkers } from "../../lib/market/read.ts";

export type Kind = "accelerator" | "cpu" | "gpu" | "browser" | "other";

export interface BoardLine {
  name: string;
  kind: Kind;
  workers: Worker[];
  chips: number;
  memory: bigint;
  /** Measured, all together, in tokens per second and watts; absent where nobody measured. */
  speed: number | undefined;
  watts: number | undefined;
}

function kindOf(board: Board): Kind {
  const name = tag(board);
  if (name.startsWith("Wormhole")) return "accelerator";
  if (name === "Cpu") return "cpu";
  if (name === "Gpu") return "gpu";
  return name === "Browser" ? "browser" : "other";
}

export async function readBoards(): Promise<BoardLine[]> {
  const lines = new Map<string, BoardLine>();
  for (const worker of await readWorkers()) {
    if (tag(worker.status) === "Retired") continue;
    const { hardware } = worker;
    const name = boardName(hardware.board);
    const line = lines.get(name) ?? { name, kind: kindOf(hardware.board), workers: [], chips: 0, memory: 0n, speed: undefined, watts: undefined };
    const speed = opt(hardware.tokens_per_second_milli);
    const watts = opt(hardware.watts);
    line.workers.push(worker);
    line.chips += hardware.chips;
    line.memory += hardware.memory_bytes;
    if (speed !== undefined) line.speed = (line.speed ?? 0) + Number(speed) / 1_000;
    if (watts !== undefined) line.watts = (line.watts ?? 0) + watts;
    lines.set(name, line);
  }
  return [...lines.values()].sort((a, b) => b.workers.length - a.workers.length || a.name.localeCompare(b.name));
}

export async function readCatalogue(): Promise<HardwareCatalogue> {
  return (await registry()).hardware_catalogue();
}

/** An address that may be followed. */
export function webAddress(text: string): URL | undefined {
  try {
    const address = new URL(text);
    return address.protocol === "https:" ? address : undefined;
  } catch {
    return undefined;
  }
}
