//! What a spoiled checkpoint can make the reader allocate. The only test of its process, because the allocator counts for all.
#![cfg(feature = "import")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

use assay_engine::import::{convert_bytes, gguf::Gguf, safetensors::Safetensors};

#[path = "files/builder.rs"]
mod builder;

/// The system's allocator, which remembers the largest single request.
struct Counting;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

#[allow(unsafe_code, reason = "an allocator cannot be written otherwise")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of this function, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A safetensors file of three tensors, and the length of its header.
fn safetensors() -> (Vec<u8>, usize) {
    let entry = |i: u64| {
        format!(
            r#""t{i}":{{"dtype":"F32","shape":[2,2],"data_offsets":[{},{}]}}"#,
            16 * i,
            16 * i + 16
        )
    };
    let header = format!("{{{}}}", [0, 1, 2].map(entry).join(","));
    let len = 8 + header.len();
    let file = [
        &(header.len() as u64).to_le_bytes()[..],
        header.as_bytes(),
        &[0; 48],
    ]
    .concat();
    (file, len)
}

#[test]
fn a_spoiled_header_cannot_ask_for_memory() {
    let (file, header) = safetensors();
    for at in 0..header {
        for change in 1..=255 {
            let mut spoiled = file.clone();
            spoiled[at] ^= change;
            LARGEST.store(0, Ordering::Relaxed);
            let _ = Safetensors::parse(&spoiled);
            let largest = LARGEST.load(Ordering::Relaxed);
            // A node of the map by name is larger than this small file.
            assert!(
                largest <= 2_048,
                "byte {at}: reading asks for {largest} bytes"
            );
        }
    }
    let (file, header) = builder::tiny_checkpoint().build_with_header_len();
    for at in 0..header {
        for change in [0x01, 0x7f, 0xff] {
            let mut spoiled = file.clone();
            spoiled[at] ^= change;
            LARGEST.store(0, Ordering::Relaxed);
            let _ = Gguf::parse(&spoiled);
            let largest = LARGEST.load(Ordering::Relaxed);
            assert!(
                largest <= file.len(),
                "byte {at}: reading asks for {largest} bytes"
            );
            // A longer context makes longer tables: twice the limit while the output grows.
            let _ = convert_bytes(&spoiled, |_| ());
            let largest = LARGEST.load(Ordering::Relaxed);
            assert!(
                largest <= 32 << 20,
                "byte {at}: converting asks for {largest} bytes"
            );
        }
    }
}
