//! From the bytes that were sent to bytes that can be compiled: unpack, check, and have them rewritten.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
};

use wasmparser::{
    DataKind, ExternalKind, FunctionBody, KnownCustom, Operator, Parser, Payload, TypeRef, ValType,
    Validator, WasmFeatures,
};

use super::{InvalidModule, RESERVED_PREFIX, global_export, rewrite::rewrite};
use crate::{limits, network::MetadataSection};

/// A module ready for the compiler.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The rewritten module.
    pub(super) bytes: Vec<u8>,
    /// What the rest of the network has to know about it.
    pub(super) info: Info,
    /// Active data: where, and what.
    pub(super) data: Vec<(u64, Vec<u8>)>,
}

/// What the network has to know about a module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Info {
    /// Its entry points.
    pub(crate) exports: Exports,
    /// Export names of its mutable globals, by index.
    pub(crate) globals: Vec<String>,
    /// Wasm pages of its initial memory, where it has one.
    pub(crate) memory_pages: Option<u64>,
    /// Whether it has a table.
    pub(crate) table: bool,
    /// Whether it has a `(start)` function.
    pub(crate) start: bool,
    /// Whether nothing but memory and globals can differ after a message, so that an instance may serve another one.
    pub(crate) reusable: bool,
    /// What it shows in the state tree.
    pub(crate) metadata: Vec<MetadataSection>,
    /// Bytes of the module, unpacked.
    pub(crate) len: usize,
}

/// How a method may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MethodKind {
    /// Changes state.
    Update,
    /// Changes nothing.
    Query,
    /// Changes nothing, and may call other queries.
    CompositeQuery,
}

/// A module's entry points.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exports {
    /// Public methods by name.
    pub(crate) methods: BTreeMap<String, MethodKind>,
    /// Whether `canister_init` is there, and so on.
    pub(crate) init: bool,
    pub(crate) pre_upgrade: bool,
    pub(crate) post_upgrade: bool,
    pub(crate) inspect: bool,
    pub(crate) heartbeat: bool,
    pub(crate) global_timer: bool,
}

impl MethodKind {
    /// The name under which a method of this kind is exported.
    pub(crate) fn export(self, method: &str) -> String {
        match self {
            Self::Update => format!("canister_update {method}"),
            Self::Query => format!("canister_query {method}"),
            Self::CompositeQuery => format!("canister_composite_query {method}"),
        }
    }
}

/// Unpacks, checks and rewrites a module.
pub(super) fn prepare(sent: &[u8]) -> Result<Prepared, InvalidModule> {
    let unpacked = unpack(sent)?;
    let bytes: &[u8] = unpacked.as_deref().unwrap_or(sent);
    refuse_memory64(bytes)?;
    Validator::new_with_features(features())
        .validate_all(bytes)
        .map_err(invalid)?;
    let outline = Outline::read(bytes)?;
    rewrite(bytes, outline)
}

/// The Wasm proposals that canisters may use.
fn features() -> WasmFeatures {
    WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::CALL_INDIRECT_OVERLONG
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::BULK_MEMORY_OPT
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::SIMD
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::FLOATS
        | WasmFeatures::GC_TYPES
}

fn unpack(sent: &[u8]) -> Result<Option<Vec<u8>>, InvalidModule> {
    let too_long = InvalidModule::TooLong {
        max: limits::MODULE_BYTES_MAX,
    };
    if sent.len() > limits::MODULE_BYTES_MAX {
        return Err(too_long);
    }
    if !sent.starts_with(&[0x1f, 0x8b, 0x08]) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(sent)
        .take(limits::MODULE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| InvalidModule::Compression {
            reason: error.to_string(),
        })?;
    if bytes.len() > limits::MODULE_BYTES_MAX {
        return Err(too_long);
    }
    Ok(Some(bytes))
}

/// Says so in words before the validator says it in numbers.
fn refuse_memory64(bytes: &[u8]) -> Result<(), InvalidModule> {
    for payload in Parser::new(0).parse_all(bytes) {
        if let Payload::MemorySection(memories) = payload.map_err(invalid)? {
            for memory in memories {
                if memory.map_err(invalid)?.memory64 {
                    return Err(InvalidModule::Memory64);
                }
            }
        }
    }
    Ok(())
}

pub(super) fn invalid(error: wasmparser::BinaryReaderError) -> InvalidModule {
    InvalidModule::Invalid {
        reason: error.to_string(),
    }
}

fn at_most(what: &'static str, found: usize, max: usize) -> Result<(), InvalidModule> {
    if found > max {
        Err(InvalidModule::TooMany { what, found, max })
    } else {
        Ok(())
    }
}

/// What one reading of a valid module collects.
#[derive(Default)]
pub(super) struct Outline {
    pub(super) info: Info,
    pub(super) data: Vec<(u64, Vec<u8>)>,
    /// Indices of mutable globals, in the order of `info.globals`.
    pub(super) mutable_globals: Vec<u32>,
    pub(super) start: Option<u32>,
    /// Defined functions that contain an operator that needs padding.
    pub(super) padded: BTreeSet<usize>,
}

impl Outline {
    fn read(bytes: &[u8]) -> Result<Self, InvalidModule> {
        let mut outline = Self::default();
        outline.info.reusable = true;
        outline.info.len = bytes.len();
        let mut types = Vec::new();
        let mut functions = Vec::new();
        let mut exported_functions = Vec::new();
        let mut metadata_bytes = 0;
        let mut defined = 0;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(invalid)? {
                Payload::TypeSection(section) => {
                    for group in section {
                        for ty in group.map_err(invalid)?.into_types() {
                            types.push(match ty.composite_type.inner {
                                wasmparser::CompositeInnerType::Func(ty) => ty,
                                _ => {
                                    return Err(InvalidModule::Invalid {
                                        reason: "only function types are allowed".into(),
                                    });
                                }
                            });
                        }
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import.map_err(invalid)?;
                        match import.ty {
                            TypeRef::Func(ty) if import.module == "ic0" => functions.push(ty),
                            _ => {
                                return Err(InvalidModule::UnknownImport {
                                    module: import.module.into(),
                                    name: import.name.into(),
                                });
                            }
                        }
                    }
                }
                Payload::FunctionSection(section) => {
                    at_most(
                        "functions",
                        section.count() as usize,
                        limits::MODULE_FUNCTIONS_MAX,
                    )?;
                    for ty in section {
                        functions.push(ty.map_err(invalid)?);
                    }
                }
                Payload::TableSection(section) => outline.info.table = section.count() > 0,
                Payload::MemorySection(section) => {
                    for memory in section {
                        outline.info.memory_pages = Some(memory.map_err(invalid)?.initial);
                    }
                }
                Payload::GlobalSection(section) => {
                    at_most(
                        "globals",
                        section.count() as usize,
                        limits::MODULE_GLOBALS_MAX,
                    )?;
                    for (index, global) in (0..).zip(section) {
                        let ty = global.map_err(invalid)?.ty;
                        if ty.mutable {
                            if matches!(ty.content_type, ValType::Ref(_)) {
                                return Err(InvalidModule::ReferenceGlobal { index });
                            }
                            outline.mutable_globals.push(index);
                            outline.info.globals.push(global_export(index));
                        }
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export.map_err(invalid)?;
                        if export.name.starts_with(RESERVED_PREFIX) {
                            return Err(InvalidModule::ReservedExport {
                                name: export.name.into(),
                            });
                        }
                        if export.kind == ExternalKind::Func {
                            exported_functions.push((export.name, export.index));
                        }
                    }
                }
                Payload::StartSection { func, .. } => {
                    outline.start = Some(func);
                    outline.info.start = true;
                }
                Payload::CodeSectionStart { range, .. } => {
                    let found = range.end - range.start;
                    if found > limits::MODULE_CODE_BYTES_MAX {
                        return Err(InvalidModule::CodeTooLong {
                            found,
                            max: limits::MODULE_CODE_BYTES_MAX,
                        });
                    }
                }
                Payload::CodeSectionEntry(body) => {
                    outline.read_body(defined, &body)?;
                    defined += 1;
                }
                Payload::DataSection(section) => {
                    for (index, data) in section.into_iter().enumerate() {
                        let data = data.map_err(invalid)?;
                        if let DataKind::Active { offset_expr, .. } = data.kind {
                            let offset = constant(&offset_expr)
                                .ok_or(InvalidModule::DataOffset { index })?;
                            outline.place(index, offset, data.data)?;
                        }
                    }
                }
                Payload::CustomSection(section) => {
                    if !matches!(section.as_known(), KnownCustom::Unknown) {
                        continue;
                    }
                    if let Some(name) = section.name().strip_prefix("icp:") {
                        metadata_bytes += section.name().len() + section.data().len();
                        outline.read_metadata(name, section.data())?;
                        at_most(
                            "bytes in metadata sections",
                            metadata_bytes,
                            limits::MODULE_METADATA_BYTES_MAX,
                        )?;
                    }
                }
                _ => {}
            }
        }
        for (name, function) in exported_functions {
            let takes_nothing = || {
                let ty = &types[functions[function as usize] as usize];
                ty.params().is_empty() && ty.results().is_empty()
            };
            outline.info.exports.add(name, takes_nothing)?;
        }
        outline.info.exports.check()?;
        Ok(outline)
    }

    fn read_body(&mut self, index: usize, body: &FunctionBody<'_>) -> Result<(), InvalidModule> {
        let mut found = 0;
        for operator in body.get_operators_reader().map_err(invalid)? {
            let operator = operator.map_err(invalid)?;
            found += 1;
            if needs_padding(&operator) {
                self.padded.insert(index);
            }
            if changes_instance(&operator) {
                self.info.reusable = false;
            }
        }
        if found > limits::FUNCTION_INSTRUCTIONS_MAX {
            return Err(InvalidModule::FunctionTooLong {
                index,
                found,
                max: limits::FUNCTION_INSTRUCTIONS_MAX,
            });
        }
        Ok(())
    }

    fn read_metadata(&mut self, name: &str, content: &[u8]) -> Result<(), InvalidModule> {
        let whole = || format!("icp:{name}");
        let (public, name) = if let Some(name) = name.strip_prefix("public ") {
            (true, name)
        } else if let Some(name) = name.strip_prefix("private ") {
            (false, name)
        } else {
            return Err(InvalidModule::Metadata {
                name: whole(),
                reason: "must be icp:public or icp:private",
            });
        };
        if self
            .info
            .metadata
            .iter()
            .any(|section| section.name == name)
        {
            return Err(InvalidModule::Metadata {
                name: whole(),
                reason: "exists twice",
            });
        }
        self.info.metadata.push(MetadataSection {
            name: name.into(),
            public,
            content: content.to_vec(),
        });
        at_most(
            "metadata sections",
            self.info.metadata.len(),
            limits::MODULE_METADATA_SECTIONS_MAX,
        )
    }

    fn place(&mut self, index: usize, offset: u64, data: &[u8]) -> Result<(), InvalidModule> {
        let memory = self.info.memory_pages.unwrap_or(0) * limits::WASM_PAGE_BYTES as u64;
        let end = offset + data.len() as u64;
        if end > memory {
            return Err(InvalidModule::DataOutOfBounds { index, end, memory });
        }
        self.data.push((offset, data.to_vec()));
        Ok(())
    }
}

impl Exports {
    fn add(&mut self, name: &str, takes_nothing: impl Fn() -> bool) -> Result<(), InvalidModule> {
        let method = [
            ("canister_update ", MethodKind::Update),
            ("canister_query ", MethodKind::Query),
            ("canister_composite_query ", MethodKind::CompositeQuery),
        ]
        .into_iter()
        .find_map(|(prefix, kind)| name.strip_prefix(prefix).map(|method| (method, kind)));
        if let Some((method, kind)) = method {
            if self.methods.insert(method.into(), kind).is_some() {
                return Err(InvalidModule::DuplicateMethod {
                    name: method.into(),
                });
            }
        } else {
            match name {
                "canister_init" => self.init = true,
                "canister_pre_upgrade" => self.pre_upgrade = true,
                "canister_post_upgrade" => self.post_upgrade = true,
                "canister_inspect_message" => self.inspect = true,
                "canister_heartbeat" => self.heartbeat = true,
                "canister_global_timer" => self.global_timer = true,
                "canister_on_low_wasm_memory" => {}
                _ => return Ok(()),
            }
        }
        if takes_nothing() {
            Ok(())
        } else {
            Err(InvalidModule::ExportType { name: name.into() })
        }
    }

    fn check(&self) -> Result<(), InvalidModule> {
        at_most(
            "exported methods",
            self.methods.len(),
            limits::MODULE_METHODS_MAX,
        )?;
        let names = self.methods.keys().map(String::len).sum();
        at_most(
            "bytes in names of exported methods",
            names,
            limits::MODULE_METHOD_NAMES_BYTES_MAX,
        )
    }
}

/// The value of an expression that is one integer constant.
fn constant(expression: &wasmparser::ConstExpr<'_>) -> Option<u64> {
    let mut operators = expression.get_operators_reader();
    let value = match operators.read().ok()? {
        Operator::I32Const { value } => u64::from(value.cast_unsigned()),
        _ => return None,
    };
    matches!(operators.read().ok()?, Operator::End).then_some(value)
}

/// Whether the operator costs more than the price table can hold.
pub(super) fn needs_padding(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::MemoryGrow { .. }
            | Operator::TableGrow { .. }
            | Operator::DataDrop { .. }
            | Operator::ElemDrop { .. }
    )
}

/// Whether the operator changes something in an instance that is neither memory nor a global.
fn changes_instance(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::TableSet { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. }
            | Operator::ElemDrop { .. }
            | Operator::DataDrop { .. }
    )
}
