//! BERT as a sentence encoder: its configuration, and how sentence-transformers says what is made of its states.
//!
//! The manifest of an encoder says that the states' mean is scaled to length one. A checkpoint that says nothing of sentences gets the same; one that
//! says something else is refused.

use std::collections::BTreeSet;

use super::{
    ImportError,
    folder::Folder,
    huggingface::{HARMLESS, Tensors, even_share, must, name, tokenizer},
    json::{Config, Json},
    plan::{Change, Part, Plan, check_shape, gather},
    tensor::Tensor,
};
use crate::model::{
    Blocks, Manifest, ManifestError, Rope, Shape,
    manifest::{
        Asset, Bend, CONTEXT_MAX, CONVERTER, EncoderKind, Planes, Pooling, SPEC, WeightFormat,
    },
};

/// What may stand before the names of all tensors.
const PREFIX: &str = "bert.";
const TYPES: &str = "embeddings.token_type_embeddings.weight";
const POSITIONS: &str = "embeddings.position_embeddings.weight";
/// Not needed: what classifies texts, and the numbers of positions.
const LEFT_OUT: [&str; 3] = [
    "pooler.dense.weight",
    "pooler.dense.bias",
    "embeddings.position_ids",
];

/// What the configuration says.
pub(super) struct Encoder {
    manifest: Manifest,
    tokenizer: Vec<u8>,
    /// Positions that the checkpoint has; texts may be shorter.
    positions: usize,
    types: usize,
}

impl Encoder {
    pub(super) fn read(mut config: Config, folder: &mut Folder) -> Result<Self, ImportError> {
        let name = name(&mut config)?;
        config.one_of("hidden_act", &["gelu"])?;
        config.one_of("position_embedding_type", &["absolute"])?;
        config.always("is_decoder", false)?;
        config.always("add_cross_attention", false)?;
        let (dim, heads) = (
            config.size("hidden_size")?,
            config.size("num_attention_heads")?,
        );
        let epsilon = config.float("layer_norm_eps")?;
        let positions = config.size("max_position_embeddings")?;
        let types = config.size("type_vocab_size")?;
        let mut shape = Shape {
            layers: config.size("num_hidden_layers")?,
            dim,
            heads,
            kv_heads: heads,
            head_dim: even_share(dim, heads)?,
            ff: config.size("intermediate_size")?,
            vocab: config.size("vocab_size")?,
            context_max: positions.min(CONTEXT_MAX),
            norm_eps_bits: config.required(epsilon, "layer_norm_eps")?.to_bits(),
        };
        config.finish(HARMLESS)?;
        if let Some(longest) = sentences(folder, dim)? {
            shape.context_max = shape.context_max.min(longest);
        }
        let manifest = Manifest {
            spec: SPEC.into(),
            architecture: "bert".into(),
            name,
            shape,
            rope: Rope::HalfSplit,
            blocks: Blocks::default(),
            encoder: Some(EncoderKind {
                activation: Bend::Gelu,
                pooling: Pooling::NormalisedMean,
            }),
            weights: WeightFormat::W8,
            planes: Planes::default(),
            tied_head: true,
            end_tokens: Vec::new(),
            bos_token: None,
            eos_token: None,
            tokenizer: None,
            chat_template: None,
            source: None,
            converter: CONVERTER,
        };
        manifest.check()?;
        let tokenizer = tokenizer(folder, manifest.shape.vocab)?;
        Ok(Self {
            manifest,
            tokenizer,
            positions,
            types,
        })
    }

    pub(super) fn plan<'a>(
        mut self,
        source: Asset,
        tensors: &'a Tensors<'_>,
    ) -> Result<Plan<'a>, ImportError> {
        self.manifest.source = Some(source);
        let prefixed = tensors.has(&format!("{PREFIX}{POSITIONS}"));
        let full = |name: &str| match prefixed {
            true => format!("{PREFIX}{name}"),
            false => name.to_owned(),
        };
        let types = tensors.tensor(&full(TYPES), 2)?;
        check_shape(&types, self.types, self.manifest.shape.dim)?;
        let mut known: BTreeSet<String> = LEFT_OUT.iter().map(|name| full(name)).collect();
        known.insert(full(TYPES));
        let parts = gather(&self.manifest, |name| {
            let source = full(&source_name(name));
            known.insert(source.clone());
            if name == "positions" {
                let tensor = tensors.tensor(&source, 2)?;
                check_shape(&tensor, self.positions, self.manifest.shape.dim)?;
                return Ok(Part {
                    tensor: shortened(tensor, self.manifest.shape.context_max),
                    change: Change::AddRow(types.clone()),
                });
            }
            let vector = name.ends_with("bias") || name.ends_with("gain");
            let dimensions = if vector { 1 } else { 2 };
            tensors.tensor(&source, dimensions).map(Part::plain)
        })?;
        tensors.refuse_others(|name| known.contains(name))?;
        Ok(Plan {
            manifest: self.manifest,
            tokenizer: self.tokenizer.into(),
            template: None,
            parts,
            turns: Vec::new(),
            local_turns: Vec::new(),
        })
    }
}

/// The first rows of a tensor, at most as many as it has.
fn shortened(tensor: Tensor<'_>, rows: usize) -> Tensor<'_> {
    let len = tensor.bytes.len() / tensor.rows as usize;
    Tensor {
        rows: rows as u64,
        bytes: &tensor.bytes[..rows * len],
        ..tensor
    }
}

/// Checks what sentence-transformers is told to make of the states. Gives the longest text in tokens, where it is said.
fn sentences(folder: &mut Folder, dim: usize) -> Result<Option<usize>, ImportError> {
    const MODULES: &str = "modules.json";
    const POOLING: &str = "1_Pooling/config.json";
    let list = match folder.json(MODULES)? {
        None => return Ok(None),
        Some(Json::List(list)) => list,
        Some(other) => {
            return Err(ImportError::Json {
                path: folder.path(MODULES),
                reason: format!("{} where a list belongs", other.kind()),
            });
        }
    };
    // The states, their mean, and where it is said, its length.
    let expected = [
        ("sentence_transformers.models.Transformer", ""),
        ("sentence_transformers.models.Pooling", "1_Pooling"),
        ("sentence_transformers.models.Normalize", "2_Normalize"),
    ];
    let modules = list.len();
    for (module, (kind, path)) in list.into_iter().zip(expected) {
        let Json::Object(entries) = module else {
            return Err(ImportError::Json {
                path: folder.path(MODULES),
                reason: format!("{} where a module belongs", module.kind()),
            });
        };
        let mut module = Config::new(entries);
        module.one_of("type", &[kind])?;
        module.one_of("path", &[path])?;
        module.finish(&["idx", "name"])?;
    }
    if !(2..=expected.len()).contains(&modules) {
        return Err(ImportError::Unsupported {
            key: MODULES.into(),
            found: format!("{modules} modules"),
        });
    }
    let mut pooling = must(folder.config(POOLING)?, POOLING, folder)?;
    let mean = pooling.truth("pooling_mode_mean_tokens")?;
    if mean != Some(true) {
        return Err(ImportError::Unsupported {
            key: "pooling_mode_mean_tokens".into(),
            found: "false".into(),
        });
    }
    let width = pooling.size("word_embedding_dimension")?;
    if width != dim {
        return Err(ImportError::Disagrees {
            key: "word_embedding_dimension".into(),
            found: width as u64,
            expected: dim as u64,
        });
    }
    for other in [
        "pooling_mode_cls_token",
        "pooling_mode_max_tokens",
        "pooling_mode_mean_sqrt_len_tokens",
        "pooling_mode_weightedmean_tokens",
        "pooling_mode_lasttoken",
    ] {
        pooling.always(other, false)?;
    }
    // Says whether words put before a text count; nothing is put before one here.
    pooling.finish(&["include_prompt"])?;

    let Some(mut sentence) = folder.config("sentence_bert_config.json")? else {
        return Ok(None);
    };
    sentence.always("do_lower_case", false)?;
    let longest = sentence.optional_size("max_seq_length")?;
    sentence.finish(&[])?;
    match longest {
        Some(0) => Err(ImportError::Manifest {
            reason: ManifestError::Range {
                field: "context",
                found: 0,
                min: 1,
                max: CONTEXT_MAX as u64,
            },
        }),
        longest => Ok(longest),
    }
}

/// The name in the source of a tensor of the model file.
fn source_name(name: &str) -> String {
    match name {
        "embedding" => return "embeddings.word_embeddings.weight".into(),
        "positions" => return POSITIONS.into(),
        "embedding_norm.gain" => return "embeddings.LayerNorm.weight".into(),
        "embedding_norm.bias" => return "embeddings.LayerNorm.bias".into(),
        _ => {}
    }
    let (layer, part) = name
        .strip_prefix("layers.")
        .and_then(|rest| rest.split_once('.'))
        .expect("BUG: every other tensor belongs to a layer");
    let part = match part {
        "q" => "attention.self.query.weight",
        "k" => "attention.self.key.weight",
        "v" => "attention.self.value.weight",
        "o" => "attention.output.dense.weight",
        "up" => "intermediate.dense.weight",
        "down" => "output.dense.weight",
        "q_bias" => "attention.self.query.bias",
        "k_bias" => "attention.self.key.bias",
        "v_bias" => "attention.self.value.bias",
        "o_bias" => "attention.output.dense.bias",
        "attn_norm.gain" => "attention.output.LayerNorm.weight",
        "attn_norm.bias" => "attention.output.LayerNorm.bias",
        "up_bias" => "intermediate.dense.bias",
        "down_bias" => "output.dense.bias",
        "ffn_norm.gain" => "output.LayerNorm.weight",
        "ffn_norm.bias" => "output.LayerNorm.bias",
        other => unreachable!("BUG: layers have no part {other}"),
    };
    format!("encoder.layer.{layer}.{part}")
}
