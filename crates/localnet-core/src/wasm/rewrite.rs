//! The module that is compiled in place of the one that was sent.
//!
//! It exports its memory, its first table and every mutable global, has its `(start)` function as an export instead
//! of a start section, and carries no active data: the host writes that once, at installation. Otherwise the state of
//! a canister would be lost, or set back, whenever a message gets a new instance. No index changes, so functions are
//! copied as they are, but for padding (see [`super::meter`]).

use wasm_encoder::{CodeSection, DataSection, ExportKind, ExportSection, Module, RawSection};
use wasmparser::{DataKind, ExternalKind, FunctionBody, Parser, Payload};

use super::{
    InvalidModule, MEMORY_EXPORT, START_EXPORT, TABLE_EXPORT,
    meter::padding,
    prepare::{Outline, Prepared, invalid},
};

/// Rewrites a valid module.
pub(super) fn rewrite(bytes: &[u8], outline: Outline) -> Result<Prepared, InvalidModule> {
    let mut module = Module::new();
    let mut code = CodeSection::new();
    let mut exports = Some(additional_exports(&outline));
    let mut defined = 0;
    let mut functions = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(invalid)?;
        // The new exports go where the export section belongs, also when there was none.
        let after_exports = matches!(
            payload,
            Payload::StartSection { .. }
                | Payload::ElementSection(_)
                | Payload::DataCountSection { .. }
                | Payload::CodeSectionStart { .. }
                | Payload::DataSection(_)
                | Payload::End(_)
        );
        if after_exports
            && let Some(section) = exports.take()
            && !section.is_empty()
        {
            module.section(&section);
        }
        match &payload {
            Payload::ExportSection(section) => {
                let mut all = ExportSection::new();
                for export in section.clone() {
                    let export = export.map_err(invalid)?;
                    all.export(export.name, export_kind(export.kind), export.index);
                }
                add_exports(&mut all, &outline);
                module.section(&all);
                exports = None;
            }
            Payload::StartSection { .. } | Payload::CustomSection(_) => {}
            Payload::CodeSectionStart { count, .. } => functions = *count as usize,
            Payload::CodeSectionEntry(body) => {
                if outline.padded.contains(&defined) {
                    code.raw(&pad(body, outline.info.wide)?);
                } else {
                    code.raw(body.as_bytes());
                }
                defined += 1;
                if defined == functions {
                    module.section(&code);
                }
            }
            Payload::DataSection(section) => {
                let mut all = DataSection::new();
                for data in section.clone() {
                    let data = data.map_err(invalid)?;
                    match data.kind {
                        DataKind::Passive => all.passive(data.data.iter().copied()),
                        // An active segment counts as dropped once the module runs; an empty one behaves the same.
                        DataKind::Active { .. } => all.passive([]),
                    };
                }
                module.section(&all);
            }
            other => {
                if let Some((id, range)) = other.as_section() {
                    module.section(&RawSection {
                        id,
                        data: &bytes[range],
                    });
                }
            }
        }
    }
    Ok(Prepared {
        bytes: module.finish(),
        info: outline.info,
        data: outline.data,
    })
}

fn additional_exports(outline: &Outline) -> ExportSection {
    let mut exports = ExportSection::new();
    add_exports(&mut exports, outline);
    exports
}

fn add_exports(exports: &mut ExportSection, outline: &Outline) {
    if outline.info.memory_pages.is_some() {
        exports.export(MEMORY_EXPORT, ExportKind::Memory, 0);
    }
    if outline.info.table {
        exports.export(TABLE_EXPORT, ExportKind::Table, 0);
    }
    if let Some(start) = outline.start {
        exports.export(START_EXPORT, ExportKind::Func, start);
    }
    for (index, name) in outline.mutable_globals.iter().zip(&outline.info.globals) {
        exports.export(name, ExportKind::Global, *index);
    }
}

fn export_kind(kind: ExternalKind) -> ExportKind {
    match kind {
        ExternalKind::Func | ExternalKind::FuncExact => ExportKind::Func,
        ExternalKind::Table => ExportKind::Table,
        ExternalKind::Memory => ExportKind::Memory,
        ExternalKind::Global => ExportKind::Global,
        ExternalKind::Tag => ExportKind::Tag,
    }
}

/// The body with `nop`s before each operator whose price the table does not hold.
fn pad(body: &FunctionBody<'_>, wide: bool) -> Result<Vec<u8>, InvalidModule> {
    const NOP: u8 = 0x01;
    let bytes = body.as_bytes();
    let begin = body.range().start;
    let mut padded = Vec::with_capacity(bytes.len() + bytes.len() / 8);
    let mut copied = 0;
    for operator in body
        .get_operators_reader()
        .map_err(invalid)?
        .into_iter_with_offsets()
    {
        let (operator, offset) = operator.map_err(invalid)?;
        let nops = padding(&operator, wide);
        if nops > 0 {
            let here = offset - begin;
            padded.extend_from_slice(&bytes[copied..here]);
            padded.resize(padded.len() + nops, NOP);
            copied = here;
        }
    }
    padded.extend_from_slice(&bytes[copied..]);
    Ok(padded)
}
