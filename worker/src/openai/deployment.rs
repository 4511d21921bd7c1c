//! What a server's answers depend on, as far as anybody can say.

use assay_protocol::{Hash32, Hasher, limits::NAME_BYTES_MAX};
use serde::Serialize;

/// Whose program a server is; each understands a little more than the common part of OpenAI's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Dialect {
    /// vLLM, and tt-inference-server, which serves language models by it.
    #[serde(rename = "vllm")]
    Vllm,
    /// llama.cpp's own server.
    #[serde(rename = "llama.cpp")]
    LlamaCpp,
    /// Ollama.
    #[serde(rename = "ollama")]
    Ollama,
    /// Another one: only what OpenAI's interface has.
    #[serde(rename = "openai")]
    Unknown,
}

impl Dialect {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vllm => "vllm",
            Self::LlamaCpp => "llama.cpp",
            Self::Ollama => "ollama",
            Self::Unknown => "openai",
        }
    }
}

/// On what a server runs: `n150`, `n300`, `t3000`, `galaxy`, `cpu`, or any other name that its operators agree on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Topology(String);

impl Topology {
    /// Letters, digits, `.`, `_` and `-`, in lower case; `t3k` is `t3000`.
    pub fn new(name: &str) -> Result<Self, String> {
        let name = name.to_ascii_lowercase();
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(fits) {
            return Err(format!(
                "{name:?} is not a name of 1 to {NAME_BYTES_MAX} letters, digits, '.', '_' and '-', such as n300"
            ));
        }
        Ok(Self(match name.as_str() {
            "t3k" => "t3000".to_owned(),
            _ => name,
        }))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// What answers of a server are compared by: only those of equal deployments are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deployment {
    /// Whose program it is.
    pub dialect: Dialect,
    /// Which version, by its own word; empty where it does not say.
    pub version: String,
    /// What it calls the model.
    pub model: String,
    /// Digest of the image that it runs from, by its operator's word.
    pub image_digest: Option<String>,
    /// On what it runs, by its operator's word.
    pub topology: Topology,
}

impl Deployment {
    /// As it is registered.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("BUG: texts always become JSON")
    }

    /// A hash of all of it.
    pub fn root(&self) -> Hash32 {
        Hasher::new("assay-deployment-1")
            .bytes(self.to_json().as_bytes())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment() -> Deployment {
        Deployment {
            dialect: Dialect::Vllm,
            version: "0.11.0".to_owned(),
            model: "meta-llama/Llama-3.1-8B-Instruct".to_owned(),
            image_digest: Some("sha256:00".to_owned()),
            topology: Topology::new("N300").unwrap(),
        }
    }

    #[test]
    fn a_deployment_is_written_in_one_way() {
        expect_test::expect![[r#"{"dialect":"vllm","version":"0.11.0","model":"meta-llama/Llama-3.1-8B-Instruct","image_digest":"sha256:00","topology":"n300"}"#]]
            .assert_eq(&deployment().to_json());
    }

    #[test]
    fn whatever_differs_makes_another_class() {
        let changes: [fn(&mut Deployment); 5] = [
            |other| other.dialect = Dialect::Unknown,
            |other| other.version.push('1'),
            |other| other.model.clear(),
            |other| other.image_digest = None,
            |other| other.topology = Topology::new("n150").unwrap(),
        ];
        for change in changes {
            let mut other = deployment();
            change(&mut other);
            assert_ne!(other.root(), deployment().root(), "{other:?}");
        }
    }

    #[test]
    fn names_of_topologies_are_words_and_have_one_spelling() {
        assert_eq!(Topology::new("T3K").unwrap().name(), "t3000");
        assert_eq!(Topology::new("galaxy-2x").unwrap().name(), "galaxy-2x");
        let longest = "x".repeat(NAME_BYTES_MAX);
        assert!(Topology::new(&longest).is_ok());
        for wrong in ["", "two cards", &format!("{longest}x"), "n300\n"] {
            let told = Topology::new(wrong).unwrap_err();
            assert!(told.contains("such as n300"), "{told}");
        }
    }
}
