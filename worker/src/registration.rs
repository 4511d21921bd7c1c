//! What a provider tells the registry of a model: the argument of `register_model`.

use std::fmt::Write as _;

use assay_protocol::{
    Hash32,
    registry::{ModelFile, ModelManifest},
};

use crate::{
    config::{ModelConfig, Source},
    model::Opened,
    setup::{self, SetupError},
};

/// What is to be registered of a model, under the name that the configuration gives it, or that of its file or model on the server.
pub async fn of(settings: &ModelConfig, license: &str) -> Result<ModelManifest, SetupError> {
    let name = match (&settings.name, &settings.source) {
        (Some(name), _) => name.clone(),
        (None, Source::File(path)) => {
            let stem = path.file_stem().unwrap_or_default();
            stem.to_string_lossy().into_owned()
        }
        (None, Source::Server(server)) => server.model.clone(),
    };
    Ok(match setup::open_now(&settings.source, None).await? {
        Opened::Local(model) => model.registration(&name, license)?,
        Opened::Server(model) => model.registration(&name, license),
    })
}

/// A manifest in Candid's text form.
pub fn candid(manifest: &ModelManifest) -> String {
    // Destructured so that a new field cannot be forgotten.
    let ModelManifest {
        name,
        architecture,
        semantics,
        files,
        model_root,
        tokenizer_sha256,
        template_sha256,
        context_max,
        license,
        royalty_bps,
        verifiable,
    } = manifest;
    let files: Vec<String> = files.iter().map(file).collect();
    format!(
        "(record {{ name = {}; architecture = {}; semantics = {}; files = vec {{ {} }}; model_root = {}; tokenizer_sha256 = {}; \
         template_sha256 = {}; context_max = {context_max} : nat32; license = {}; royalty_bps = {royalty_bps} : nat16; \
         verifiable = {verifiable} }})",
        text(name),
        text(architecture),
        text(semantics),
        files.join("; "),
        blob(model_root),
        blob(tokenizer_sha256),
        blob(template_sha256),
        text(license),
    )
}

fn file(file: &ModelFile) -> String {
    let ModelFile {
        name,
        bytes,
        sha256,
        urls,
    } = file;
    let urls: Vec<String> = urls.iter().map(|url| text(url)).collect();
    format!(
        "record {{ name = {}; bytes = {bytes} : nat64; sha256 = {}; urls = vec {{ {} }} }}",
        text(name),
        blob(sha256),
        urls.join("; ")
    )
}

/// A text between quotes.
fn text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{{{:x}}}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A hash as bytes.
fn blob(hash: &Hash32) -> String {
    let mut quoted = String::from("blob \"");
    for byte in hash.0 {
        let _ = write!(quoted, "\\{byte:02x}");
    }
    quoted.push('"');
    quoted
}
