//! The kernel driver's requests: numbers and argument layouts of its interface, version 2.
//!
//! Each argument is what goes in followed by what comes out, in one structure that the driver reads and writes in place.

/// Oldest interface with every request here.
pub(crate) const INTERFACE: u32 = 2;

/// A request number: no size and no direction, magic 0xFA.
pub(crate) const fn number(request: u8) -> u32 {
    0xFA << 8 | request as u32
}

/// Which PCI device this is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeviceInfo {
    pub(crate) room_bytes: u32,
    pub(crate) filled_bytes: u32,
    pub(crate) vendor: u16,
    pub(crate) device: u16,
    pub(crate) subsystem_vendor: u16,
    pub(crate) subsystem: u16,
    pub(crate) bus_device_function: u16,
    pub(crate) dma_bytes_max_log2: u16,
    pub(crate) domain: u16,
    pub(crate) reserved: u16,
}

/// Which driver this is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DriverInfo {
    pub(crate) room_bytes: u32,
    pub(crate) filled_bytes: u32,
    /// Version of the interface.
    pub(crate) interface: u32,
    /// Version of the module: major, minor, patch.
    pub(crate) version: [u8; 3],
    pub(crate) reserved: u8,
}

/// A window for this open file.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AllocateWindow {
    pub(crate) bytes: u64,
    pub(crate) reserved: u64,
    pub(crate) id: u32,
    pub(crate) reserved0: u32,
    /// Where to map it uncached.
    pub(crate) uncached: u64,
    /// Where to map it write-combining.
    pub(crate) combining: u64,
    pub(crate) reserved1: u64,
}

/// Shows something else in a window.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConfigureWindow {
    pub(crate) id: u32,
    pub(crate) reserved: u32,
    pub(crate) view: WindowView,
    pub(crate) reserved_out: u64,
}

/// What a window shows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WindowView {
    pub(crate) address: u64,
    pub(crate) x_end: u16,
    pub(crate) y_end: u16,
    pub(crate) x_start: u16,
    pub(crate) y_start: u16,
    pub(crate) noc: u8,
    pub(crate) multicast: u8,
    /// 1 keeps accesses in order.
    pub(crate) ordering: u8,
    pub(crate) linked: u8,
    pub(crate) static_channel: u8,
    pub(crate) reserved0: [u8; 3],
    pub(crate) reserved1: [u32; 2],
}

/// One write when this open file closes, however it does.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WriteOnClose {
    pub(crate) bytes: u32,
    pub(crate) flags: u32,
    pub(crate) enabled: u8,
    pub(crate) x: u8,
    pub(crate) y: u8,
    pub(crate) noc: u8,
    pub(crate) reserved: u32,
    pub(crate) address: u64,
    pub(crate) value: u64,
}

/// What this open file needs switched on.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Power {
    pub(crate) bytes: u32,
    pub(crate) flags: u32,
    pub(crate) reserved: u8,
    /// How many of the flags count (bits 0-3), and how many settings (bits 4-7).
    pub(crate) valid: u8,
    pub(crate) on: u16,
    pub(crate) settings: [u16; 14],
}

impl Power {
    /// Full clock, memory awake, Tensix tiles clocked.
    pub(crate) fn full() -> Self {
        const CLOCK: u16 = 1;
        const MEMORY: u16 = 1 << 1;
        const TENSIX: u16 = 1 << 2;
        Self {
            bytes: size_of::<Self>() as u32,
            valid: 3,
            on: CLOCK | MEMORY | TENSIX,
            ..Self::default()
        }
    }
}

/// One request with its argument.
#[derive(Debug)]
pub(crate) enum Request<'a> {
    DeviceInfo(&'a mut DeviceInfo),
    DriverInfo(&'a mut DriverInfo),
    AllocateWindow(&'a mut AllocateWindow),
    ConfigureWindow(&'a mut ConfigureWindow),
    WriteOnClose(&'a mut WriteOnClose),
    Power(&'a mut Power),
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn numbers_have_the_magic_and_nothing_else() {
        assert_eq!(number(0), 0xFA00);
        assert_eq!(number(15), 0xFA0F);
    }

    #[test]
    fn layouts_are_the_drivers() {
        assert_eq!(size_of::<DeviceInfo>(), 24);
        assert_eq!(offset_of!(DeviceInfo, vendor), 8);
        assert_eq!(offset_of!(DeviceInfo, domain), 20);
        assert_eq!(size_of::<DriverInfo>(), 16);
        assert_eq!(offset_of!(DriverInfo, interface), 8);
        assert_eq!(offset_of!(DriverInfo, version), 12);
        assert_eq!(size_of::<AllocateWindow>(), 48);
        assert_eq!(offset_of!(AllocateWindow, id), 16);
        assert_eq!(offset_of!(AllocateWindow, uncached), 24);
        assert_eq!(offset_of!(AllocateWindow, combining), 32);
        assert_eq!(size_of::<WindowView>(), 32);
        assert_eq!(offset_of!(WindowView, x_end), 8);
        assert_eq!(offset_of!(WindowView, noc), 16);
        assert_eq!(offset_of!(WindowView, ordering), 18);
        assert_eq!(offset_of!(WindowView, reserved1), 24);
        assert_eq!(size_of::<ConfigureWindow>(), 48);
        assert_eq!(offset_of!(ConfigureWindow, view), 8);
        assert_eq!(size_of::<WriteOnClose>(), 32);
        assert_eq!(offset_of!(WriteOnClose, enabled), 8);
        assert_eq!(offset_of!(WriteOnClose, address), 16);
        assert_eq!(offset_of!(WriteOnClose, value), 24);
        assert_eq!(size_of::<Power>(), 40);
        assert_eq!(offset_of!(Power, valid), 9);
        assert_eq!(offset_of!(Power, on), 10);
        assert_eq!(offset_of!(Power, settings), 12);
    }
}
