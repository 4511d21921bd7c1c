//! From the bytes that were sent to bytes that can be compiled: unpack, check, and have them rewritten.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
};

use wasmparser::{
    DataKind, ExternalKind, FuncType, FunctionBody, KnownCustom, MemoryType, Operator, Parser,
    Payload, TypeRef, ValType, Validator, WasmFeatures,
};

use super::{
    InvalidModule, RESERVED_PREFIX, Widths, effort, global_export,
    limit::check_function,
    meter::padding,
    rewrite::rewrite,
    signature::{Imports, check_entry},
};
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
    /// Whether its memory has 64-bit addresses.
    pub(crate) wide: bool,
    /// Whether it has a table.
    pub(crate) table: bool,
    /// Whether it has a `(start)` function.
    pub(crate) start: bool,
    /// Whether nothing but memory and globals can differ after a message, so that an instance may serve another one.
    pub(crate) reusable: bool,
    /// Whether it can see the certificate that comes with a query.
    pub(crate) sees_certificate: bool,
    /// What it shows in the state tree.
    pub(crate) metadata: Vec<MetadataSection>,
    /// Bytes of the module, unpacked.
    pub(crate) len: usize,
    /// Its operators as they are compiled on the Internet Computer.
    pub(crate) operators: u64,
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
    pub(crate) low_memory: bool,
}

impl Info {
    /// Bytes that the heap may hold.
    pub(crate) fn heap_max(&self) -> u64 {
        if self.wide {
            limits::HEAP_BYTES_MAX_64
        } else {
            limits::HEAP_BYTES_MAX
        }
    }
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
pub(super) fn prepare(sent: &[u8], imports: &Widths<Imports>) -> Result<Prepared, InvalidModule> {
    let unpacked = unpack(sent)?;
    let bytes: &[u8] = unpacked.as_deref().unwrap_or(sent);
    check_code_size(bytes)?;
    Validator::new_with_features(features())
        .validate_all(bytes)
        .map_err(invalid)?;
    let outline = Outline::read(bytes, imports)?;
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
        | WasmFeatures::MEMORY64
        | WasmFeatures::FLOATS
        | WasmFeatures::GC_TYPES
}

fn unpack(sent: &[u8]) -> Result<Option<Vec<u8>>, InvalidModule> {
    let check = |found| {
        if found > limits::MODULE_BYTES_MAX {
            return Err(InvalidModule::TooLong {
                found,
                max: limits::MODULE_BYTES_MAX,
            });
        }
        Ok(())
    };
    check(sent.len())?;
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
    check(bytes.len())?;
    Ok(Some(bytes))
}

/// Nothing is worth validating in a module that has too much code.
fn check_code_size(bytes: &[u8]) -> Result<(), InvalidModule> {
    for payload in Parser::new(0).parse_all(bytes) {
        if let Payload::CodeSectionStart { range, .. } = payload.map_err(invalid)? {
            let found = range.end - range.start;
            if found > limits::MODULE_CODE_BYTES_MAX {
                return Err(InvalidModule::CodeTooLong {
                    found,
                    max: limits::MODULE_CODE_BYTES_MAX,
                });
            }
            break;
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
    fn read(bytes: &[u8], imports: &Widths<Imports>) -> Result<Self, InvalidModule> {
        let mut outline = Self::default();
        outline.info.reusable = true;
        outline.info.len = bytes.len();
        let mut types = Vec::new();
        let mut functions = Vec::new();
        let mut imported_functions = Vec::new();
        let mut exported_functions = Vec::new();
        let mut defined = 0;
        let mut globals = 0;
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
                        let what = match import.ty {
                            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                                functions.push(ty);
                                outline.info.sees_certificate |=
                                    import.name.starts_with("data_certificate_");
                                imported_functions.push((import.module, import.name));
                                continue;
                            }
                            TypeRef::Table(_) => "tables",
                            TypeRef::Memory(_) => "memories",
                            TypeRef::Global(_) => "globals",
                            TypeRef::Tag(_) => "tags",
                        };
                        return Err(InvalidModule::Import {
                            reason: format!("Importing {what} is not allowed."),
                        });
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
                        outline.read_memory(&memory.map_err(invalid)?)?;
                    }
                }
                Payload::GlobalSection(section) => {
                    at_most(
                        "globals",
                        section.count() as usize,
                        limits::MODULE_GLOBALS_MAX,
                    )?;
                    globals = section.count() as usize;
                    for (index, global) in (0..).zip(section) {
                        let ty = global.map_err(invalid)?.ty;
                        if matches!(ty.content_type, ValType::Ref(_)) {
                            return Err(InvalidModule::Global {
                                found: format!("{:?}", ty.content_type),
                            });
                        }
                        if ty.mutable {
                            outline.mutable_globals.push(index);
                            outline.info.globals.push(global_export(index));
                        }
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export.map_err(invalid)?;
                        if export.name.starts_with(RESERVED_PREFIX) {
                            return Err(InvalidModule::Export {
                                reason: format!(
                                    "Exporting reserved symbol {} not allowed.",
                                    export.name
                                ),
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
                Payload::CodeSectionEntry(body) => {
                    outline.read_body(defined, &body)?;
                    defined += 1;
                }
                Payload::DataSection(section) => {
                    for data in section {
                        let data = data.map_err(invalid)?;
                        if let DataKind::Active { offset_expr, .. } = data.kind {
                            outline.place(&offset_expr, data.data)?;
                        }
                    }
                }
                Payload::CustomSection(section) => {
                    if !matches!(section.as_known(), KnownCustom::Unknown) {
                        continue;
                    }
                    if section.name().starts_with("icp:") {
                        outline.read_metadata(section.name(), section.data())?;
                    }
                }
                _ => {}
            }
        }
        let type_of = |function: usize| &types[functions[function] as usize];
        let imports = imports.get(outline.info.wide);
        for (index, (module, name)) in imported_functions.into_iter().enumerate() {
            imports.check(module, name, type_of(index))?;
        }
        for (name, function) in exported_functions {
            let exports = &mut outline.info.exports;
            exports.add(name, type_of(function as usize))?;
        }
        outline.info.exports.check()?;
        outline.info.operators += effort::outside_functions(globals);
        Ok(outline)
    }

    fn read_memory(&mut self, memory: &MemoryType) -> Result<(), InvalidModule> {
        let bytes = if memory.memory64 {
            limits::HEAP_BYTES_MAX_64
        } else {
            limits::HEAP_BYTES_MAX
        };
        let max = bytes / limits::WASM_PAGE_BYTES as u64;
        let found = memory.initial.max(memory.maximum.unwrap_or(0));
        if found > max {
            return Err(InvalidModule::MemoryTooLarge { found, max });
        }
        self.info.memory_pages = Some(memory.initial);
        self.info.wide = memory.memory64;
        Ok(())
    }

    fn read_body(&mut self, index: usize, body: &FunctionBody<'_>) -> Result<(), InvalidModule> {
        let wide = self.info.wide;
        self.info.operators += effort::function(body, wide)?;
        check_function(index, body, |operator| {
            if padding(operator, wide) > 0 {
                self.padded.insert(index);
            }
            // A dropped segment stays dropped in its instance only.
            if matches!(
                operator,
                Operator::ElemDrop { .. } | Operator::DataDrop { .. }
            ) {
                self.info.reusable = false;
            }
        })
    }

    fn read_metadata(&mut self, section: &str, content: &[u8]) -> Result<(), InvalidModule> {
        let refuse = |reason| Err(InvalidModule::Metadata { reason });
        let (public, name) = if let Some(name) = section.strip_prefix("icp:public ") {
            (true, name)
        } else if let Some(name) = section.strip_prefix("icp:private ") {
            (false, name)
        } else if matches!(section, "icp:public" | "icp:private") {
            return refuse(
                "'icp:' section names must have a space after the public/private scope".into(),
            );
        } else {
            return refuse(format!(
                "Invalid custom section: Custom section '{section}' has no public/private scope defined."
            ));
        };
        let known = &mut self.info.metadata;
        if known.iter().any(|section| section.name == name) {
            return refuse(format!(
                "Invalid custom section: name {name} already exists"
            ));
        }
        known.push(MetadataSection {
            name: name.into(),
            public,
            content: content.to_vec(),
        });
        let bytes: usize = known
            .iter()
            .map(|section| section.name.len() + section.content.len())
            .sum();
        if bytes > limits::MODULE_METADATA_BYTES_MAX {
            return refuse(format!(
                "Invalid custom sections: total size of the custom sections exceeds the maximum allowed: \
                 size {bytes} bytes, allowed {} bytes",
                limits::MODULE_METADATA_BYTES_MAX
            ));
        }
        at_most(
            "custom sections",
            known.len(),
            limits::MODULE_METADATA_SECTIONS_MAX,
        )
    }

    fn place(
        &mut self,
        offset: &wasmparser::ConstExpr<'_>,
        data: &[u8],
    ) -> Result<(), InvalidModule> {
        let offset = constant(offset).ok_or_else(|| InvalidModule::DataOffset {
            reason: format!(
                "Invalid offset expression in data segment for {}bit memory: {:?}",
                if self.info.wide { 64 } else { 32 },
                offset.get_operators_reader().read().ok()
            ),
        })?;
        let memory = self.info.memory_pages.unwrap_or(0) * limits::WASM_PAGE_BYTES as u64;
        let len = data.len();
        match offset.checked_add(len as u64) {
            Some(end) if end <= memory => {
                self.data.push((offset, data.to_vec()));
                Ok(())
            }
            _ => Err(InvalidModule::DataOutOfBounds { len, offset }),
        }
    }
}

impl Exports {
    fn add(&mut self, name: &str, ty: &FuncType) -> Result<(), InvalidModule> {
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
                "canister_on_low_wasm_memory" => self.low_memory = true,
                _ if name.starts_with("canister_") => {
                    return Err(InvalidModule::Export {
                        reason: format!(
                            "Exporting reserved function '{name}' with \"canister_\" prefix"
                        ),
                    });
                }
                _ => return Ok(()),
            }
        }
        check_entry(name, ty)
    }

    fn check(&self) -> Result<(), InvalidModule> {
        let found = self.methods.len();
        if found > limits::MODULE_METHODS_MAX {
            return Err(InvalidModule::TooManyMethods {
                found,
                max: limits::MODULE_METHODS_MAX,
            });
        }
        let found = self.methods.keys().map(String::len).sum();
        if found > limits::MODULE_METHOD_NAMES_BYTES_MAX {
            return Err(InvalidModule::MethodNamesTooLong {
                found,
                max: limits::MODULE_METHOD_NAMES_BYTES_MAX,
            });
        }
        Ok(())
    }
}

/// The value of an expression that is one integer constant.
fn constant(expression: &wasmparser::ConstExpr<'_>) -> Option<u64> {
    let mut operators = expression.get_operators_reader();
    let value = match operators.read().ok()? {
        Operator::I32Const { value } => u64::from(value.cast_unsigned()),
        Operator::I64Const { value } => value.cast_unsigned(),
        _ => return None,
    };
    matches!(operators.read().ok()?, Operator::End).then_some(value)
}
