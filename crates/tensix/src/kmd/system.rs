//! What the driver's transport needs of the operating system, so that tests can script it, and the real thing.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::ptr::NonNull;

use rustix::fs::{FlockOperation, OFlags};
use rustix::mm::{MapFlags, ProtFlags};

use super::ioctl::{Request, number};

/// Device nodes and what is told about them.
pub(crate) trait System: Send {
    type Node: Node;
    /// Opens a node without any power of its own.
    fn open(&self, index: u32) -> io::Result<Self::Node>;
    /// What sysfs says of a device.
    fn attribute(&self, index: u32, name: &str) -> io::Result<String>;
    /// Processes that have a device open, this one left out.
    fn users(&self, index: u32) -> io::Result<Vec<u32>>;
}

/// An open device node.
pub(crate) trait Node: Send {
    type Window: Window;
    /// Takes the node for this process; `WouldBlock` where another has it.
    fn lock(&self) -> io::Result<()>;
    /// Asks the driver.
    fn call(&self, request: Request<'_>) -> io::Result<()>;
    /// Maps a window.
    fn map(&self, offset: u64, bytes: usize) -> io::Result<Self::Window>;
}

/// A mapped window; offsets are multiples of four.
pub(crate) trait Window: Send {
    fn read32(&self, offset: usize) -> u32;
    fn write32(&mut self, offset: usize, value: u32);
}

/// Where a device node is.
pub(crate) fn path(index: u32) -> PathBuf {
    PathBuf::from(format!("/dev/tenstorrent/{index}"))
}

/// Linux.
#[derive(Debug)]
pub(crate) struct Linux;

impl System for Linux {
    type Node = OpenNode;

    fn open(&self, index: u32) -> io::Result<OpenNode> {
        // Appending tells the driver that power is asked for with a request. Where another program has the card for itself, opening
        // fails and does not wait.
        OpenOptions::new()
            .read(true)
            .append(true)
            .custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits() as i32)
            .open(path(index))
            .map(OpenNode)
    }

    fn attribute(&self, index: u32, name: &str) -> io::Result<String> {
        let path = format!("/sys/class/tenstorrent/tenstorrent!{index}/{name}");
        Ok(std::fs::read_to_string(path)?.trim().to_owned())
    }

    fn users(&self, index: u32) -> io::Result<Vec<u32>> {
        let text = std::fs::read_to_string(format!("/proc/driver/tenstorrent/{index}/pids"))?;
        let own = std::process::id();
        Ok(text
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .filter(|pid| *pid != own)
            .collect())
    }
}

/// A node opened with [`Linux`].
#[derive(Debug)]
pub(crate) struct OpenNode(File);

impl Node for OpenNode {
    type Window = Mapping;

    fn lock(&self) -> io::Result<()> {
        Ok(rustix::fs::flock(
            &self.0,
            FlockOperation::NonBlockingLockExclusive,
        )?)
    }

    fn call(&self, request: Request<'_>) -> io::Result<()> {
        match request {
            Request::DeviceInfo(argument) => self.update::<{ number(0) }, _>(argument),
            Request::DriverInfo(argument) => self.update::<{ number(5) }, _>(argument),
            Request::AllocateWindow(argument) => self.update::<{ number(11) }, _>(argument),
            Request::ConfigureWindow(argument) => self.update::<{ number(13) }, _>(argument),
            Request::WriteOnClose(argument) => self.update::<{ number(14) }, _>(argument),
            Request::Power(argument) => self.update::<{ number(15) }, _>(argument),
        }
    }

    #[allow(unsafe_code, reason = "it maps a device")]
    fn map(&self, offset: u64, bytes: usize) -> io::Result<Mapping> {
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &self.0,
                offset,
            )
        }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Mapping { start, bytes })
    }
}

impl OpenNode {
    #[allow(unsafe_code, reason = "it asks a device driver")]
    fn update<const NUMBER: u32, T>(&self, argument: &mut T) -> io::Result<()> {
        // SAFETY: each number above goes with the argument whose layout `ioctl` pins; the driver reads and writes only that.
        unsafe {
            let request = rustix::ioctl::Updater::<NUMBER, T>::new(argument);
            rustix::ioctl::ioctl(&self.0, request)?;
        }
        Ok(())
    }
}

/// A mapped window of a card.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u32>,
    bytes: usize,
}

// SAFETY: the mapping belongs to the process, and whoever owns this value is the only one to touch it.
#[allow(unsafe_code, reason = "a pointer to device memory")]
unsafe impl Send for Mapping {}

impl Mapping {
    #[allow(unsafe_code, reason = "a pointer to device memory")]
    fn at(&self, offset: usize) -> *mut u32 {
        assert!(
            offset.is_multiple_of(4) && offset < self.bytes,
            "BUG: offset {offset} of a window of {} bytes",
            self.bytes
        );
        // SAFETY: it stays inside of the mapping, by the line above.
        unsafe { self.start.as_ptr().add(offset / 4) }
    }
}

impl Window for Mapping {
    #[allow(unsafe_code, reason = "it reads device memory")]
    fn read32(&self, offset: usize) -> u32 {
        // SAFETY: `at` is aligned and inside of the mapping; any bits are a u32.
        unsafe { self.at(offset).read_volatile() }
    }

    #[allow(unsafe_code, reason = "it writes device memory")]
    fn write32(&mut self, offset: usize, value: u32) {
        // SAFETY: `at` is aligned and inside of the mapping, which no Rust object shares.
        unsafe { self.at(offset).write_volatile(value) }
    }
}

impl Drop for Mapping {
    #[allow(unsafe_code, reason = "it unmaps a device")]
    fn drop(&mut self) {
        // SAFETY: it is this mapping, whole, and nothing points into it any more. A failure leaves it mapped, which harms nothing.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
