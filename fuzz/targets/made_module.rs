//! Valid modules that use the System API, made by wasm-smith out of any bytes, installed and run.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{
    Corpus,
    arbitrary::{self, Unstructured},
    fuzz_target,
};
use wasm_smith::{Config, Module};

/// What modules may import.
const IMPORTS: &str = include_str!("imports.wat");
/// What modules export, as far as canisters are concerned.
const EXPORTS: &str = include_str!("exports.wat");

static CONFIG: LazyLock<Config> = LazyLock::new(|| Config {
    available_imports: Some(compiled(IMPORTS)),
    exports: Some(compiled(EXPORTS)),
    max_imports: 40,
    min_funcs: 1,
    max_memories: 1,
    min_memories: 1,
    max_memory32_bytes: 1 << 20,
    max_tables: 2,
    max_table_elements: 1000,
    table_max_size_required: false,
    // What canisters may not use.
    exceptions_enabled: false,
    extended_const_enabled: false,
    gc_enabled: false,
    memory64_enabled: false,
    relaxed_simd_enabled: false,
    threads_enabled: false,
    ..Config::default()
});

fn compiled(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the module's text is in order")
}

fn make(bytes: &[u8]) -> arbitrary::Result<Vec<u8>> {
    let mut source = Unstructured::new(bytes);
    Ok(Module::new(CONFIG.clone(), &mut source)?.to_bytes())
}

fuzz_target!(
    init: assay_fuzz::begin("made_module"),
    |bytes: &[u8]| -> Corpus {
        match make(bytes) {
            Ok(module) => {
                assay_localnet_core::fuzzing::module(&module);
                Corpus::Keep
            }
            Err(_) => Corpus::Reject,
        }
    }
);
