//! The folder of a Hugging Face checkpoint: which files are read, in which order they are hashed.
//!
//! Files are read when they are asked for, each with a limit. Weights stay in mapped files. Whatever was read is hashed, one file after
//! another in the order of [`ORDER`], then the weight files in ascending order of their names.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{
    ImportError,
    json::{Config, Json},
    safetensors::{Safetensors, Stored},
};
use crate::model::{FileBytes, layout::hex, manifest::Asset};

/// Every file that may be read beside the weights, in the order in which they are hashed.
pub(super) const ORDER: [&str; 9] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
    INDEX,
];

/// Longest configuration, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 16 << 20;
/// Most weight files of one checkpoint.
pub const SHARDS_MAX: usize = 512;

const WHOLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// What was read of a folder so far.
pub(super) struct Folder {
    path: PathBuf,
    read: BTreeMap<&'static str, Vec<u8>>,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            read: BTreeMap::new(),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a file of [`ORDER`], if it is there.
    pub(super) fn optional(
        &mut self,
        name: &'static str,
        max: u64,
    ) -> Result<Option<&[u8]>, ImportError> {
        let path = self.path(name);
        let failed = |source| ImportError::Source {
            path: path.clone(),
            source,
        };
        let file = match open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.take(max + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > max {
            return Err(ImportError::FileLength { path, max });
        }
        self.read.insert(name, bytes);
        Ok(self.read.get(name).map(Vec::as_slice))
    }

    /// Reads a file of [`ORDER`].
    pub(super) fn required(&mut self, name: &'static str, max: u64) -> Result<&[u8], ImportError> {
        let path = self.path(name);
        self.optional(name, max)?
            .ok_or_else(|| ImportError::Source {
                path,
                source: io::ErrorKind::NotFound.into(),
            })
    }

    /// Reads a file of [`ORDER`] as JSON, if it is there.
    pub(super) fn json(&mut self, name: &'static str) -> Result<Option<Json>, ImportError> {
        let path = self.path(name);
        let Some(bytes) = self.optional(name, CONFIG_BYTES_MAX)? else {
            return Ok(None);
        };
        match serde_json::from_slice(bytes) {
            Ok(json) => Ok(Some(json)),
            Err(error) => Err(ImportError::Json {
                path,
                reason: error.to_string().chars().take(200).collect(),
            }),
        }
    }

    /// Reads a file of [`ORDER`] that holds one JSON object, if it is there.
    pub(super) fn config(&mut self, name: &'static str) -> Result<Option<Config>, ImportError> {
        match self.json(name)? {
            None => Ok(None),
            Some(Json::Object(entries)) => Ok(Some(Config::new(entries))),
            Some(other) => Err(ImportError::Json {
                path: self.path(name),
                reason: format!("{} where an object belongs", other.kind()),
            }),
        }
    }

    /// Maps the weight files: the whole one, or those that the index names.
    pub(super) fn shards(&mut self) -> Result<Shards, ImportError> {
        let whole = fs::metadata(self.path(WHOLE)).is_ok();
        let index = match whole {
            true => None,
            false => self.index()?,
        };
        let names: Vec<String> = match &index {
            None => vec![WHOLE.into()],
            Some(index) => {
                let mut names: Vec<String> = index.values().cloned().collect();
                names.sort_unstable();
                names.dedup();
                names
            }
        };
        if !(1..=SHARDS_MAX).contains(&names.len()) {
            return Err(ImportError::ShardCount {
                found: names.len(),
                max: SHARDS_MAX,
            });
        }
        if let Some(found) = names.iter().find(|name| !is_plain(name)) {
            return Err(ImportError::ShardName {
                found: found.chars().take(256).collect(),
            });
        }
        let maps = names
            .into_iter()
            .map(|name| {
                let path = self.path(&name);
                Ok((name, map(&path)?))
            })
            .collect::<Result<_, ImportError>>()?;
        Ok(Shards {
            folder: self.path.clone(),
            maps,
            index,
        })
    }

    /// Which tensor is in which file.
    fn index(&mut self) -> Result<Option<BTreeMap<String, String>>, ImportError> {
        let Some(mut index) = self.config(INDEX)? else {
            return Ok(None);
        };
        let map = index.any("weight_map");
        let Some(Json::Object(entries)) = map else {
            return Err(ImportError::Json {
                path: self.path(INDEX),
                reason: "no weight_map of tensors to files".into(),
            });
        };
        index.finish(&["metadata"])?;
        let path = self.path(INDEX);
        let of = |(tensor, file)| match file {
            Json::Text(file) => Ok((tensor, file)),
            other => Err(ImportError::Json {
                path: path.clone(),
                reason: format!("{} where a file name belongs", other.kind()),
            }),
        };
        entries
            .into_iter()
            .map(of)
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// Bytes and SHA-256 over everything that was read.
    pub(super) fn source(&self, shards: &Shards) -> Asset {
        let mut hasher = Sha256::new();
        let mut bytes = 0;
        let small = ORDER.iter().filter_map(|name| self.read.get(name));
        let parts = small
            .map(Vec::as_slice)
            .chain(shards.maps.iter().map(|(_, map)| map.as_slice()));
        for part in parts {
            hasher.update(part);
            bytes += part.len() as u64;
        }
        Asset {
            bytes,
            sha256: hex(&hasher.finalize()),
        }
    }
}

/// The weight files, ascending by name.
pub(super) struct Shards {
    folder: PathBuf,
    maps: Vec<(String, FileBytes)>,
    index: Option<BTreeMap<String, String>>,
}

impl Shards {
    /// All tensors of all files, which are those of the index.
    pub(super) fn tensors(&self) -> Result<BTreeMap<String, Stored<'_>>, ImportError> {
        let mut all = BTreeMap::new();
        for (shard, map) in &self.maps {
            let file =
                Safetensors::parse(map.as_slice()).map_err(|reason| ImportError::Safetensors {
                    path: self.folder.join(shard),
                    reason,
                })?;
            for (tensor, stored) in file.tensors() {
                let indexed = match &self.index {
                    None => true,
                    Some(index) => index.get(tensor) == Some(shard),
                };
                // A tensor in two files is in one where the index does not have it.
                if !indexed {
                    return Err(ImportError::NotIndexed {
                        tensor: tensor.into(),
                        shard: shard.clone(),
                    });
                }
                all.insert(tensor.to_owned(), stored.clone());
            }
        }
        let mut index = self.index.iter().flatten();
        match index.find(|(tensor, _)| !all.contains_key(*tensor)) {
            Some((tensor, shard)) => Err(ImportError::ShardTensor {
                tensor: tensor.chars().take(256).collect(),
                shard: shard.clone(),
            }),
            None => Ok(all),
        }
    }
}

/// A name that cannot lead out of its folder.
fn is_plain(name: &str) -> bool {
    let letters = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    letters && name.len() <= 255 && !name.starts_with('.') && name.ends_with(".safetensors")
}

/// Opens a regular file; anything else might never end, or block.
fn open(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    File::open(path)
}

/// Maps a regular file.
pub(super) fn map(path: &Path) -> Result<FileBytes, ImportError> {
    let failed = |source| ImportError::Source {
        path: path.to_owned(),
        source,
    };
    let file = open(path).map_err(failed)?;
    FileBytes::of(&file).map_err(failed)
}
