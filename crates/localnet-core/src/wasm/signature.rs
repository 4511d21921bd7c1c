//! Types of the functions that a module imports from the network, and of those that it exports to it.

use std::collections::BTreeMap;

use wasmparser::{FuncType, ValType};
use wasmtime::{Linker, Store};

use super::InvalidModule;
use crate::sysapi::Host;

/// What a module may import.
#[derive(Debug, Default)]
pub(super) struct Imports {
    functions: BTreeMap<String, Signature>,
}

/// The type of a function.
#[derive(Debug, PartialEq, Eq)]
struct Signature {
    params: Vec<ValType>,
    results: Vec<ValType>,
}

impl Imports {
    /// Everything that a linker offers.
    pub(super) fn of(linker: &Linker<Host>, store: &mut Store<Host>) -> Self {
        let offered: Vec<_> = linker
            .iter(&mut *store)
            .filter_map(|(_, name, item)| Some((name.to_owned(), item.into_func()?)))
            .collect();
        let functions = offered.into_iter().map(|(name, function)| {
            let ty = function.ty(&*store);
            let signature = Signature {
                params: ty.params().map(number).collect(),
                results: ty.results().map(number).collect(),
            };
            (name, signature)
        });
        Self {
            functions: functions.collect(),
        }
    }

    /// Checks one import of a function.
    pub(super) fn check(
        &self,
        module: &str,
        name: &str,
        ty: &FuncType,
    ) -> Result<(), InvalidModule> {
        let refuse = |reason| Err(InvalidModule::Import { reason });
        match self.functions.get(name) {
            None => refuse(format!(
                "Module imports function '{name}' from '{module}' that is not exported by the runtime."
            )),
            Some(_) if module != "ic0" => refuse(format!(
                "Module imports function {name:?} from {module:?}, \
                 expected to be imported from one of [\"ic0\"] instead."
            )),
            Some(Signature { params, results }) => check(name, ty, params, results),
        }
    }
}

/// Checks that a function which is exported to the network takes and gives nothing.
pub(super) fn check_entry(name: &str, ty: &FuncType) -> Result<(), InvalidModule> {
    check(name, ty, &[], &[])
}

fn check(
    name: &str,
    ty: &FuncType,
    params: &[ValType],
    results: &[ValType],
) -> Result<(), InvalidModule> {
    let reason = if ty.params() != params {
        format!(
            "Expected input params {params:?} for '{name}', got {:?}.",
            ty.params()
        )
    } else if ty.results() != results {
        format!(
            "Expected return type {results:?} for '{name}', got {:?}.",
            ty.results()
        )
    } else {
        return Ok(());
    };
    Err(InvalidModule::Signature { reason })
}

fn number(ty: wasmtime::ValType) -> ValType {
    match ty {
        wasmtime::ValType::I32 => ValType::I32,
        wasmtime::ValType::I64 => ValType::I64,
        _ => unreachable!("BUG: the System API takes and gives integers only"),
    }
}
