// Boards in words.
import { number } from "../format.svelte.ts";
import { opt, tag, type Board, type Hardware } from "../ic/types.ts";

const NAMES: Record<string, string> = {
  WormholeN150: "Wormhole n150",
  WormholeN300: "Wormhole n300",
  WormholeT3000: "Wormhole T3000",
  WormholeGalaxy: "Wormhole Galaxy",
  Cpu: "CPU",
  RiscvManycore: "RISC-V many-core",
  Fpga: "FPGA",
  Browser: "Browser",
};

export function boardName(board: Board): string {
  if ("Gpu" in board) return `${board.Gpu.vendor} ${board.Gpu.name}`;
  return NAMES[tag(board)] ?? tag(board);
}

export function speedOf(hardware: Hardware): string | undefined {
  const milli = opt(hardware.tokens_per_second_milli);
  return milli === undefined ? undefined : number(Number(milli) / 1_000, 1);
}
