//! The tokenizer and the chat template of a checkpoint.

use crate::{
    import::{ImportError, folder::Folder, json::Json},
    model::manifest::{TEMPLATE_BYTES_MAX, TOKENIZER_BYTES_MAX},
};

/// The tokenizer as it is, after a look at whether it can be one of this model.
pub(in crate::import) fn tokenizer(
    folder: &mut Folder,
    vocab: usize,
) -> Result<Vec<u8>, ImportError> {
    let json = folder.required("tokenizer.json", TOKENIZER_BYTES_MAX)?;
    check_tokenizer(json, vocab)?;
    Ok(json.to_vec())
}

#[cfg(feature = "tokenizer")]
fn check_tokenizer(json: &[u8], vocab: usize) -> Result<(), ImportError> {
    let tokenizer =
        tokenizers::Tokenizer::from_bytes(json).map_err(|error| ImportError::Tokenizer {
            reason: error.to_string().chars().take(200).collect(),
        })?;
    match tokenizer.get_vocab(true).into_values().max() {
        Some(id) if id as usize >= vocab => Err(ImportError::TokenizerVocabulary { id, vocab }),
        _ => Ok(()),
    }
}

/// Without the library that reads tokenizers only the form can be looked at.
#[cfg(not(feature = "tokenizer"))]
fn check_tokenizer(json: &[u8], _vocab: usize) -> Result<(), ImportError> {
    let form: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(json);
    form.map(|_| ()).map_err(|error| ImportError::Tokenizer {
        reason: error.to_string().chars().take(200).collect(),
    })
}

/// The chat template: a file of its own, or a text in the tokenizer's configuration.
pub(super) fn template(folder: &mut Folder) -> Result<Option<String>, ImportError> {
    const FILE: &str = "chat_template.jinja";
    const KEY: &str = "chat_template";
    let config = folder.config("tokenizer_config.json")?;
    let path = folder.path(FILE);
    if let Some(bytes) = folder.optional(FILE, TEMPLATE_BYTES_MAX)? {
        let text = String::from_utf8(bytes.to_vec()).map_err(|_| ImportError::Text { path })?;
        return Ok(Some(text).filter(|text| !text.is_empty()));
    }
    let Some(mut config) = config else {
        return Ok(None);
    };
    let text = match config.any(KEY) {
        None => None,
        Some(Json::Text(text)) => Some(text),
        // Several templates, each with a name.
        Some(Json::List(list)) => list.into_iter().find_map(|json| match json {
            Json::Object(mut entry) => {
                let default = entry.remove("name") == Some(Json::Text("default".into()));
                match entry.remove("template") {
                    Some(Json::Text(text)) if default => Some(text),
                    _ => None,
                }
            }
            _ => None,
        }),
        Some(other) => {
            return Err(ImportError::KeyType {
                key: KEY.into(),
                expected: "text",
                found: other.kind(),
            });
        }
    };
    Ok(text.filter(|text| !text.is_empty()))
}
