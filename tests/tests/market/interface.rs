//! What the shipped modules export, and what their pages say.

use std::{collections::BTreeSet, path::Path};

use assay_tests::module;
use candid::types::TypeInner;
use candid_parser::utils::CandidSource;
use wasmparser::{ExternalKind, Parser, Payload};

use crate::chain::{Chain, admin};

/// What a module of ours may import: nothing but the system.
const SYSTEM: &str = "ic0";

/// Methods that a Candid file promises, as the module names them.
fn promised(name: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../candid")
        .join(format!("{name}.did"));
    let (env, service) = CandidSource::File(&path).load().unwrap();
    let methods = env
        .as_service(&service.expect("a service"))
        .unwrap()
        .to_vec();
    let export = |(method, ty): (String, candid::types::Type)| {
        let TypeInner::Func(function) = ty.as_ref() else {
            panic!("{method} is no function")
        };
        let kind = if function.is_query() {
            "query"
        } else {
            "update"
        };
        format!("canister_{kind} {method}")
    };
    methods.into_iter().map(export).collect()
}

/// Exports that no caller is promised, with the reasons, one a line.
fn hidden(name: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../candid/hidden_endpoints.conf");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(": "))
        .filter(|(canister, _)| *canister == name)
        .map(|(_, export)| export.to_owned())
        .collect()
}

#[test]
fn modules_export_what_their_interface_promises_and_import_only_the_system() {
    for name in ["registry", "jobs", "purse"] {
        let mut exports = BTreeSet::new();
        for payload in Parser::new(0).parse_all(&module(name)) {
            match payload.unwrap() {
                Payload::ExportSection(section) => {
                    let functions = section
                        .into_iter()
                        .map(Result::unwrap)
                        .filter(|export| export.kind == ExternalKind::Func);
                    exports.extend(functions.map(|export| export.name.to_owned()));
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import.unwrap();
                        assert_eq!(import.module, SYSTEM, "{name} imports {}", import.name);
                    }
                }
                _ => {}
            }
        }
        let expected: BTreeSet<String> = promised(name).union(&hidden(name)).cloned().collect();
        let unexpected: Vec<_> = exports.difference(&expected).collect();
        let missing: Vec<_> = expected.difference(&exports).collect();
        assert!(
            unexpected.is_empty() && missing.is_empty(),
            "{name}: not promised {unexpected:?}, not there {missing:?}"
        );
    }
}

#[test]
fn canisters_have_a_page_metrics_and_a_document_for_callers() {
    let mut chain = Chain::new(1, 250);
    for (canister, name) in [(chain.registry, "registry"), (chain.jobs, "jobs")] {
        let mut get = |method: &str, url: &str| {
            let response = chain.http(canister, method, url);
            assert!(
                response
                    .headers
                    .iter()
                    .any(|(name, _)| name == "Content-Type")
            );
            (
                response.status_code,
                String::from_utf8(response.body).unwrap(),
            )
        };
        let (status, page) = get("GET", "/");
        assert!(
            status == 200 && page.starts_with(&format!("Assay {name}\n")),
            "{page}"
        );
        let (status, metrics) = get("GET", "/metrics");
        assert_eq!(status, 200);
        for line in metrics.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.split_once(' ').expect("a name and a value");
            assert!(series.starts_with(&format!("{name}_")), "{line}");
            assert!(value.parse::<u128>().is_ok(), "{line}");
        }
        assert!(
            metrics.contains(&format!("{name}_cycles_low 0\n")),
            "{metrics}"
        );
        assert_eq!(get("GET", "/nothing").0, 404);
        assert_eq!(get("POST", "/").0, 405);
    }
    for canister in [chain.registry, chain.jobs, chain.purse] {
        let document: String = chain.query(admin(), canister, "get_api_doc", ());
        assert!(document.starts_with("# "), "{document}");
    }
}
