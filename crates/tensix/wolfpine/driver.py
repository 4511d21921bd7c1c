"""Serves a simulated Wormhole over standard input and output, for `assay_tensix::wolfpine`.

A request is a header (operation, x, y, zero, length, address), little-endian, then the bytes of a write. A reply is a header
(status, three zeros, length), then that many bytes: what was asked for, or a message when the status is 1.
"""

import hashlib
import importlib.metadata
import inspect
import os
import struct
import sys

VERSION = "2.2"
REQUEST = struct.Struct("<BBBBIQ")
REPLY = struct.Struct("<BxxxI")
HELLO, READ, WRITE, RUN = range(4)

# Source of the functions that are corrected below, as this version has them.
DEFECTIVE = {
    "perform_mvmul": "4a2d7a492d944eb8c4506e79e8ba499cf03063ed979d9cca626e04416e99113c",
    "handle_i_jalr": "38fd93675d59e9b729e18059d9811a230ee39d492181c314270b65d39472d10a",
}


def corrected():
    """Replaces what is wrong in this version, after seeing that it is still wrong in the same way."""
    import numpy
    from framework.pe.rv.isa import i_isa
    from framework.pe.tensix.backends import matrix
    from framework.pe.tensix.backends.backend_base import DataFormat
    from framework.util import conversion

    found = importlib.metadata.version("wolfpine")
    if found != VERSION:
        raise RuntimeError(f"version {found}, must be {VERSION}")
    for owner, name in (
        (matrix.MatrixUnit, "perform_mvmul"),
        (i_isa.RV_I_ISA, "handle_i_jalr"),
    ):
        source = inspect.getsource(getattr(owner, name))
        if hashlib.sha256(source.encode()).hexdigest() != DEFECTIVE[name]:
            raise RuntimeError(f"{name} is not the one that this driver corrects")

    # JALR links before it reads its base, and so jumps astray where both are one register.
    def jalr(cls, instruction, registers, memory, snoop):
        immediate = ((instruction >> 20) ^ 0x800) - 0x800
        base = registers[instruction >> 15 & 31].read_uint()
        link = registers["pc"].read_uint() + 4
        target = (base + immediate) & 0xFFFFFFFE
        if instruction >> 7 & 31:
            registers[instruction >> 7 & 31].write(conversion.conv_to_bytes(link))
        registers["nextpc"].write(conversion.conv_to_bytes(target))
        return True

    i_isa.RV_I_ISA.handle_i_jalr = classmethod(jalr)

    # Integer MVMUL fails on an attribute that is missing, takes SrcA's slice by the other phase bit, and adds to Dst as it is stored.
    general = matrix.MatrixUnit.perform_mvmul

    def signed(rows, mask):
        """Sources hold a sign at bit 18 and ten bits of magnitude from bit 8 on."""
        magnitude = rows >> 8 & mask
        return numpy.where(rows >> 18 & 1, -magnitude, magnitude)

    def fields(rows):
        """Dst stores the upper half as sign, seven low bits, eight high bits; this is its own inverse but for the widths."""
        upper = rows >> 16
        upper = upper & 0x8000 | (upper & 0xFF) << 7 | upper >> 8 & 0x7F
        return upper << 16 | rows & 0xFFFF

    def stored(rows):
        upper = rows >> 16
        upper = upper & 0x8000 | (upper & 0x7F) << 8 | upper >> 7 & 0xFF
        return upper << 16 | rows & 0xFFFF

    def mvmul(self, thread, row, modifier, broadcast, flip_a, flip_b, count, opcode=None):
        state = self.backend.getThreadConfigValue(thread, "CFG_STATE_ID_StateID")
        style, _ = self.get_dataformat_and_useDst(thread, state)
        if style != DataFormat.INT8 or broadcast:
            return general(self, thread, row, modifier, broadcast, flip_a, flip_b, count, opcode)
        counters = self.getRWC(thread)
        a, b, base = self.get_base_row_ranges(thread, state, counters, broadcast)
        rows = numpy.arange(count) + ((row + base) & (0x400 - count))
        phase = self.determine_fidelity_phase(thread, counters)
        left = self.backend.getSrcB(self.srcBBank).readRows(b, count)
        right = self.backend.getSrcA(self.srcABank).readRows(a, 16)
        product = signed(left, 0x00F if phase & 2 else 0x3F0) @ signed(
            right, 0x01F if phase & 1 else 0x0E0
        )
        dst = self.backend.getDst()
        before = fields(dst.getDst32bRows(rows))
        before = numpy.where(before >> 31, -(before & 0x7FFFFFFF), before)
        total = numpy.clip(before + product, -0x7FFFFFFF, 0x7FFFFFFF)
        dst.setDst32bRows(rows, stored(numpy.where(total < 0, -total | 0x80000000, total)))
        self.optionally_flip_src_banks(thread, flip_a, flip_b, opcode)
        counters.applyAddrMod(thread, modifier)

    matrix.MatrixUnit.perform_mvmul = mvmul


class Chip:
    """A chip with some of its worker tiles, by raw coordinates."""

    def __init__(self, workers):
        from framework.device.wormhole import Wormhole

        unified = [(x, y) for y in (*range(18, 26), 16, 17) for x in range(18, 26)][:workers]
        self.device = Wormhole(tensix_coords=unified)
        self.device.reset()
        raw = Wormhole.physical_noc0_coord_from_unified_worker
        self.workers = [raw(tile) for tile in unified]
        self.tiles = dict(zip(self.workers, unified))
        for channel, endpoints in zip(
            Wormhole.DRAM_CHANNEL_UNIFIED_COORDS, Wormhole.DRAM_CHANNEL_PHYSICAL_NOC0_COORDS
        ):
            # Other endpoints of a channel answer with wrong data, so they are not served.
            self.tiles.update((endpoint, channel) for endpoint in endpoints)

    def serve(self, operation, x, y, address, length, data):
        """The bytes of the reply."""
        if operation == HELLO:
            return b"".join(bytes(tile) for tile in self.workers)
        if operation == RUN:
            self.device.run(address)
            return b""
        tile = self.tiles.get((x, y))
        if tile is None:
            raise ValueError(f"no tile ({x}, {y})")
        if operation == READ:
            return bytes(self.device.read(tile, address, length))
        self.device.write(tile, address, data)
        return b""


def main():
    # What the simulator prints must not come between replies.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = sys.stdin.buffer
    chip = None
    while header := requests.read(REQUEST.size):
        operation, x, y, _, length, address = REQUEST.unpack(header)
        data = requests.read(length) if operation == WRITE else b""
        try:
            if chip is None:
                corrected()
                chip = Chip(int(sys.argv[1]))
            status, reply = 0, chip.serve(operation, x, y, address, length, data)
        except Exception as error:  # All of them are told to the host.
            status, reply = 1, f"{type(error).__name__}: {error}".encode()
        replies.write(REPLY.pack(status, len(reply)) + reply)
        replies.flush()


main()
