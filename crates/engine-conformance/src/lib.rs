//! The same as a WebAssembly module, which has no system: it imports nothing but a place for lines.
//!
//! Exports `variants(models)`, `allocate(length)`, and `model(address, length, tokens)`, which takes over a model file that was put where
//! `allocate` said. Imports `host.line(address, length)`.
#![allow(unsafe_code, reason = "exports and imports of a WebAssembly module")]

use assay_engine::{conformance, model::Model};

#[cfg(target_arch = "wasm32")]
#[link(wasm_import_module = "host")]
unsafe extern "C" {
    fn line(at: *const u8, length: usize);
}

fn tell(text: &str) {
    #[cfg(target_arch = "wasm32")]
    // SAFETY: the host reads these bytes before it returns.
    unsafe {
        line(text.as_ptr(), text.len());
    }
    #[cfg(not(target_arch = "wasm32"))]
    let _ = text;
}

/// Runs every variant, each on so many of the tiny models, in turn; on all of them with 0.
#[unsafe(no_mangle)]
pub extern "C" fn variants(models: usize) {
    let models = (models > 0).then_some(models);
    conformance::tell_variants(models, &mut tell);
}

/// Makes room for a model file; it is given back by `model`.
#[unsafe(no_mangle)]
pub extern "C" fn allocate(length: usize) -> *mut u8 {
    Box::leak(vec![0; length].into_boxed_slice()).as_mut_ptr()
}

/// Runs tokens of a model.
///
/// # Safety
/// `at` came from `allocate(length)` and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn model(at: *mut u8, length: usize, tokens: usize) {
    // SAFETY: by the caller's word this is a boxed slice of that length.
    let bytes = unsafe { Vec::from_raw_parts(at, length, length) };
    match Model::from_bytes(bytes) {
        Ok(model) => conformance::tell_model(&model, tokens, &mut tell),
        Err(error) => tell(&format!("fail  {error}")),
    }
}
