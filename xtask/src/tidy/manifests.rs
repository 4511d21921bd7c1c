//! dfx.json and icp.yaml: the same canisters, for two tools.
//!
//! Both follow from [`CANISTERS`]. What else they say (networks, environments) is theirs.

use serde_json::{Value, json};

use crate::workspace::{CANISTERS, Canister};

/// One line for each difference from what [`CANISTERS`] says.
pub(super) fn check(dfx: &str, icp: &str) -> Vec<String> {
    let mut problems = check_dfx(dfx);
    problems.extend(check_icp(icp));
    problems
}

fn build_command(canister: &Canister) -> String {
    format!("cargo xtask wasm {}", canister.name)
}

fn check_dfx(text: &str) -> Vec<String> {
    let parsed: Result<Value, _> = serde_json::from_str(text);
    let value = match parsed {
        Ok(value) => value,
        Err(error) => return vec![format!("dfx.json: {error}")],
    };
    let Some(canisters) = value.get("canisters").and_then(Value::as_object) else {
        return vec!["dfx.json: no canisters".to_owned()];
    };
    let mut problems = Vec::new();
    for canister in CANISTERS {
        let expected = json!({
            "type": "custom",
            "candid": canister.did(),
            "wasm": canister.wasm(),
            "build": build_command(canister),
        });
        if canisters.get(canister.name) != Some(&expected) {
            problems.push(format!(
                "dfx.json: canister {} must be {expected}",
                canister.name
            ));
        }
    }
    let known = |name: &str| CANISTERS.iter().any(|canister| canister.name == name);
    for name in canisters.keys().filter(|name| !known(name)) {
        problems.push(format!(
            "dfx.json: canister {name} is not built by cargo xtask wasm"
        ));
    }
    problems
}

/// Compares text with text: the one shape that is allowed needs no reader for all of YAML.
fn check_icp(text: &str) -> Vec<String> {
    let section: Vec<&str> = text
        .lines()
        .map(|line| line.split(" #").next().unwrap_or(line).trim_end())
        .filter(|line| !line.is_empty() && !line.trim_start().starts_with('#'))
        .skip_while(|line| *line != "canisters:")
        .skip(1)
        .take_while(|line| line.starts_with(' '))
        .collect();
    let expected: Vec<String> = CANISTERS.iter().flat_map(icp_entry).collect();
    if section == expected {
        return Vec::new();
    }
    let at = section
        .iter()
        .zip(&expected)
        .take_while(|(found, expected)| *found == expected)
        .count();
    vec![format!(
        "icp.yaml: line {} of the canisters is `{}`, must be `{}`",
        at + 1,
        section.get(at).map_or("", |line| line.trim()),
        expected.get(at).map_or("", |line| line.trim()),
    )]
}

fn icp_entry(canister: &Canister) -> Vec<String> {
    vec![
        format!("  - name: {}", canister.name),
        "    build:".to_owned(),
        "      steps:".to_owned(),
        "        - type: script".to_owned(),
        "          commands:".to_owned(),
        format!("            - {}", build_command(canister)),
        "        - type: pre-built".to_owned(),
        format!("          path: {}", canister.wasm()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good_dfx() -> Value {
        let mut canisters = serde_json::Map::new();
        for canister in CANISTERS {
            let entry = json!({
                "type": "custom", "candid": canister.did(), "wasm": canister.wasm(), "build": build_command(canister),
            });
            canisters.insert(canister.name.to_owned(), entry);
        }
        json!({ "version": 1, "canisters": canisters })
    }

    fn good_icp() -> String {
        let entries: Vec<String> = CANISTERS.iter().flat_map(icp_entry).collect();
        format!(
            "# A comment.\ncanisters:\n{}\n\nnetworks:\n  - name: local\n",
            entries.join("\n")
        )
    }

    #[test]
    fn equal_manifests_pass() {
        assert_eq!(
            check(&good_dfx().to_string(), &good_icp()),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_canister_missing_added_or_changed_in_dfx_json_is_named() {
        let mut dfx = good_dfx();
        dfx["canisters"].as_object_mut().unwrap().remove("jobs");
        assert!(check_dfx(&dfx.to_string())[0].starts_with("dfx.json: canister jobs must be {"));

        let mut dfx = good_dfx();
        dfx["canisters"]["extra"] = json!({});
        assert_eq!(
            check_dfx(&dfx.to_string()),
            ["dfx.json: canister extra is not built by cargo xtask wasm"]
        );

        for (key, value) in [
            ("candid", "candid/other.did"),
            ("wasm", "other.wasm"),
            ("build", "make"),
            ("type", "rust"),
        ] {
            let mut dfx = good_dfx();
            dfx["canisters"]["registry"][key] = json!(value);
            assert_eq!(check_dfx(&dfx.to_string()).len(), 1, "{key}");
        }
        assert_eq!(check_dfx("{}"), ["dfx.json: no canisters"]);
        assert_eq!(check_dfx("{").len(), 1);
    }

    #[test]
    fn every_line_of_the_canisters_in_icp_yaml_counts() {
        let good = good_icp();
        for (from, to) in [
            ("name: jobs", "name: works"),
            ("cargo xtask wasm purse", "make"),
            ("path: target/wasm/registry.wasm", "path: registry.wasm"),
            (
                "        - type: pre-built\n          path: target/wasm/purse.wasm\n",
                "",
            ),
            ("\n\nnetworks", "\n  - name: extra\n\nnetworks"),
            ("canisters:", "others:"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert_eq!(check_icp(&bad).len(), 1, "{to}");
        }
        let problem = check_icp(&good.replacen("name: jobs", "name: works", 1));
        assert_eq!(
            problem,
            ["icp.yaml: line 9 of the canisters is `- name: works`, must be `- name: jobs`"]
        );
    }
}
