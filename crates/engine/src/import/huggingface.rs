//! Checkpoints as Hugging Face publishes them: what their configurations mean.
//!
//! Every key of a configuration is used, checked, or on a list of keys that cannot change results; any other is refused by its
//! name, and so is any tensor that nothing asks for. All families rotate the halves of a head against each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{
    ImportError, Progress, bert,
    family::Family,
    folder::Folder,
    json::{Config, Json},
    plan::{Change, Part, Plan, gather, turns},
    safetensors::Stored,
    tensor::Tensor,
};
use crate::{
    f32z,
    model::{
        Activation, Blocks, Manifest, Rope, Shape, Window,
        manifest::{
            Asset, CONTEXT_MAX, CONVERTER, END_TOKENS_MAX, NAME_BYTES_MAX, Planes, ROTATIONS_MAX,
            SPEC, TEMPLATE_BYTES_MAX, TOKENIZER_BYTES_MAX, WeightFormat,
        },
        root::Hash,
        write::AtomicFile,
    },
};

/// Keys of any configuration that cannot change results: names, versions, storage, training, sampling.
pub(super) const HARMLESS: &[&str] = &[
    "architectures",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "dtype",
    "gradient_checkpointing",
    "hidden_dropout_prob",
    "id2label",
    "initializer_range",
    "is_llama_config",
    "label2id",
    "pad_token_id",
    "pretraining_tp",
    "torch_dtype",
    "transformers.js_config",
    "transformers_version",
    "unsloth_fixed",
    "unsloth_version",
    "use_cache",
];
/// What a Gemma 3 that also sees pictures says beside its text part.
const GEMMA_OUTER: &[&str] = &[
    "boi_token_index",
    "eoi_token_index",
    "image_token_index",
    "mm_tokens_per_image",
    "vision_config",
];
/// Tensors of that model which text does not touch.
const GEMMA_PICTURES: &[&str] = &[
    "model.multi_modal_projector.",
    "model.vision_tower.",
    "multi_modal_projector.",
    "vision_tower.",
];
/// Where the text part of a Gemma 3 may stand.
const GEMMA_PREFIXES: &[&str] = &["language_model.model.", "model.language_model.", "model."];

const HEAD: &str = "lm_head.weight";

/// Converts the checkpoint in the folder `source` into a model file at `target`, which appears only when it is complete.
/// Returns the model root.
///
/// Read are `config.json`, `tokenizer.json`, `model.safetensors` or what `model.safetensors.index.json` names, and, where they are
/// there, `generation_config.json`, `tokenizer_config.json` and `chat_template.jinja`; of sentence encoders also `modules.json`,
/// `1_Pooling/config.json` and `sentence_bert_config.json`. Whatever was read is the source in the manifest.
pub fn convert_folder(
    source: impl AsRef<Path>,
    target: impl AsRef<Path>,
    progress: impl FnMut(Progress),
) -> Result<Hash, ImportError> {
    let mut folder = Folder::new(source.as_ref());
    let mut config = must(folder.config("config.json")?, "config.json", &folder)?;
    let model_type = config.text("model_type")?;
    let model_type = config.required(model_type, "model_type")?;
    let family = match model_type.as_str() {
        "bert" => None,
        "gemma3_text" => Some(Family::Gemma3),
        name => Some(Family::of(name).ok_or_else(|| ImportError::Architecture {
            found: name.chars().take(NAME_BYTES_MAX).collect(),
            known: format!("{}, \"gemma3_text\", \"bert\"", Family::names()),
        })?),
    };
    let model = match family {
        Some(family) => Described::Decoder(Box::new(Decoder::read(
            family,
            &model_type,
            config,
            &mut folder,
        )?)),
        None => Described::Encoder(Box::new(bert::Encoder::read(config, &mut folder)?)),
    };
    let shards = folder.shards()?;
    let tensors = Tensors(shards.tensors()?);
    let source = folder.source(&shards);
    let plan = match model {
        Described::Decoder(decoder) => decoder.plan(source, &tensors)?,
        Described::Encoder(encoder) => encoder.plan(source, &tensors)?,
    };
    let (target, out) = AtomicFile::create(target.as_ref())?;
    let (out, root) = plan.write(out, progress)?;
    target.commit(out)?;
    Ok(root)
}

/// What a configuration describes.
enum Described {
    Decoder(Box<Decoder>),
    Encoder(Box<bert::Encoder>),
}

/// A file that must be there.
pub(super) fn must<T>(file: Option<T>, name: &str, folder: &Folder) -> Result<T, ImportError> {
    file.ok_or_else(|| ImportError::Source {
        path: folder.path(name),
        source: std::io::ErrorKind::NotFound.into(),
    })
}

/// What the configuration of a decoder says.
struct Decoder {
    manifest: Manifest,
    tokenizer: Vec<u8>,
    template: Option<String>,
    turns: Vec<f64>,
    local_turns: Vec<f64>,
    /// Whether the text part stands inside a model that also sees pictures.
    pictures: bool,
}

impl Decoder {
    fn read(
        family: Family,
        model_type: &str,
        mut config: Config,
        folder: &mut Folder,
    ) -> Result<Self, ImportError> {
        let name = name(&mut config)?;
        let mut end_tokens = token_ids(&mut config, "eos_token_id")?;
        let pictures = model_type == "gemma3";
        if pictures {
            let text = config.object("text_config")?;
            let text = config.required(text, "text_config")?;
            config.always("tie_word_embeddings", true)?;
            let outer: Vec<&str> = HARMLESS.iter().chain(GEMMA_OUTER).copied().collect();
            core::mem::replace(&mut config, text).finish(&outer)?;
            config.one_of("model_type", &["gemma3_text"])?;
            config.any("_name_or_path");
            end_tokens.extend(token_ids(&mut config, "eos_token_id")?);
        }
        let eos_token = end_tokens.first().copied();
        let bos_token = token_ids(&mut config, "bos_token_id")?.first().copied();
        if let Some(mut generation) = folder.config("generation_config.json")? {
            end_tokens.extend(token_ids(&mut generation, "eos_token_id")?);
        }
        end_tokens.sort_unstable();
        end_tokens.dedup();

        let shape = shape(family, &mut config)?;
        let blocks = blocks(family, &mut config, &shape)?;
        let (turns, local_turns) = rotations(family, &mut config, shape.head_dim)?;
        let tied = config.truth("tie_word_embeddings")?;
        config.finish(HARMLESS)?;
        let manifest = Manifest {
            spec: SPEC.into(),
            architecture: family.name().into(),
            name,
            shape,
            rope: Rope::HalfSplit,
            blocks,
            encoder: None,
            weights: WeightFormat::W8,
            planes: Planes::default(),
            tied_head: tied.unwrap_or(family == Family::Gemma3),
            end_tokens,
            bos_token,
            eos_token,
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
            template: template(folder)?,
            turns,
            local_turns,
            pictures,
        })
    }

    fn plan<'a>(
        mut self,
        source: Asset,
        tensors: &'a Tensors<'_>,
    ) -> Result<Plan<'a>, ImportError> {
        self.manifest.source = Some(source);
        let prefix = match self.pictures {
            false => "model.",
            true => GEMMA_PREFIXES
                .iter()
                .find(|prefix| tensors.has(&format!("{prefix}embed_tokens.weight")))
                .unwrap_or(&"model."),
        };
        let gemma = self.manifest.architecture == Family::Gemma3.name();
        let mut known = BTreeSet::new();
        let parts = gather(&self.manifest, |name| {
            let source = source_name(name, prefix, gemma);
            let dimensions = match name.rsplit('.').next() {
                Some(part) if is_vector(part) => 1,
                _ => 2,
            };
            let mut part = Part::plain(tensors.tensor(&source, dimensions)?);
            // Gemma keeps the difference of a gain from one.
            if gemma && name.ends_with("norm") {
                part.change = Change::AddOne;
            }
            known.insert(source);
            Ok(part)
        })?;
        if self.manifest.tied_head && tensors.has(HEAD) {
            let embedding = format!("{prefix}embed_tokens.weight");
            let (head, other) = (tensors.tensor(HEAD, 2)?, tensors.tensor(&embedding, 2)?);
            if (head.data_type, head.rows, head.bytes) != (other.data_type, other.rows, other.bytes)
            {
                return Err(ImportError::NotTied {
                    tensor: HEAD.into(),
                    other: embedding,
                });
            }
            known.insert(HEAD.into());
        }
        tensors.refuse_others(|name| {
            // Old checkpoints keep what the rotation tables are computed from.
            known.contains(name)
                || name.ends_with(".rotary_emb.inv_freq")
                || (self.pictures && GEMMA_PICTURES.iter().any(|part| name.starts_with(part)))
        })?;
        Ok(Plan {
            manifest: self.manifest,
            tokenizer: self.tokenizer.into(),
            template: self.template.map(Into::into),
            parts,
            turns: self.turns,
            local_turns: self.local_turns,
        })
    }
}

/// Whether a part of a layer, or of the model, is a single row.
fn is_vector(part: &str) -> bool {
    part.ends_with("norm") || part.ends_with("bias")
}

/// All tensors of a checkpoint.
pub(super) struct Tensors<'a>(BTreeMap<String, Stored<'a>>);

impl Tensors<'_> {
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A tensor with so many dimensions, in an encoding that can be converted.
    pub(super) fn tensor(&self, name: &str, expected: u32) -> Result<Tensor<'_>, ImportError> {
        let stored = self.0.get_key_value(name);
        let (name, stored) = stored.ok_or_else(|| ImportError::TensorMissing {
            tensor: name.into(),
        })?;
        let found = stored.shape.len() as u32;
        if found != expected {
            return Err(ImportError::TensorDimensions {
                tensor: name.clone(),
                found,
                expected,
            });
        }
        stored.tensor(name).ok_or_else(|| ImportError::TensorType {
            tensor: name.clone(),
            found: stored.data_type.clone(),
        })
    }

    /// Refuses the first tensor that is not known.
    pub(super) fn refuse_others(&self, known: impl Fn(&str) -> bool) -> Result<(), ImportError> {
        match self.0.keys().find(|name| !known(name)) {
            Some(tensor) => Err(ImportError::TensorUnknown {
                tensor: tensor.clone(),
            }),
            None => Ok(()),
        }
    }
}

/// What the source calls itself, as much as fits.
pub(super) fn name(config: &mut Config) -> Result<String, ImportError> {
    let full = config.text("_name_or_path")?.unwrap_or_default();
    let end = (0..=NAME_BYTES_MAX.min(full.len()))
        .rev()
        .find(|end| full.is_char_boundary(*end))
        .unwrap_or(0);
    Ok(full[..end].into())
}

/// One token id or a list of them.
fn token_ids(config: &mut Config, key: &str) -> Result<Vec<u32>, ImportError> {
    let list = match config.any(key) {
        None => return Ok(Vec::new()),
        Some(Json::List(list)) => list,
        Some(one) => vec![one],
    };
    if list.len() > END_TOKENS_MAX {
        return Err(ImportError::EndTokens {
            key: config.name(key),
            found: list.len(),
            max: END_TOKENS_MAX,
        });
    }
    list.into_iter()
        .map(|json| match json {
            Json::Count(id) if u32::try_from(id).is_ok() => Ok(id as u32),
            other => Err(ImportError::KeyType {
                key: config.name(key),
                expected: "a token id",
                found: other.kind(),
            }),
        })
        .collect()
}

fn shape(family: Family, config: &mut Config) -> Result<Shape, ImportError> {
    // A Gemma 3 that sees pictures leaves out what its text part has by default.
    let gemma = family == Family::Gemma3;
    let size = |config: &mut Config, key: &str, default: usize| match gemma {
        true => Ok(config.optional_size(key)?.unwrap_or(default)),
        false => config.size(key),
    };
    let dim = size(config, "hidden_size", 2_304)?;
    let heads = size(config, "num_attention_heads", 8)?;
    let kv_heads = match family {
        Family::Llama => config
            .optional_size("num_key_value_heads")?
            .unwrap_or(heads),
        _ => size(config, "num_key_value_heads", 4)?,
    };
    let head_dim = match (config.optional_size("head_dim")?, family) {
        (Some(head_dim), _) => head_dim,
        (None, Family::Gemma3) => 256,
        (None, Family::Qwen3) => 128,
        (None, Family::Llama | Family::Qwen2) => even_share(dim, heads)?,
    };
    let epsilon = config.float("rms_norm_eps")?;
    let epsilon = match (epsilon, gemma) {
        (None, true) => 1e-6,
        (epsilon, _) => config.required(epsilon, "rms_norm_eps")?,
    };
    let shape = Shape {
        layers: size(config, "num_hidden_layers", 26)?,
        dim,
        heads,
        kv_heads,
        head_dim,
        ff: size(config, "intermediate_size", 9_216)?,
        vocab: size(config, "vocab_size", 262_208)?,
        context_max: size(config, "max_position_embeddings", 131_072)?
            .min(CONTEXT_MAX)
            .min(ROTATIONS_MAX / (head_dim / 2).max(1)),
        norm_eps_bits: epsilon.to_bits(),
    };
    shape.check()?;
    Ok(shape)
}

/// The width of a head when all heads are as wide as the residual stream.
pub(super) fn even_share(dim: usize, heads: usize) -> Result<usize, ImportError> {
    match dim.checked_rem(heads) {
        Some(0) => Ok(dim / heads),
        _ => Err(crate::model::ManifestError::Multiple {
            field: "embedding width",
            found: dim as u64,
            of: heads as u64,
            what: "the width must divide evenly",
        }
        .into()),
    }
}

fn blocks(family: Family, config: &mut Config, shape: &Shape) -> Result<Blocks, ImportError> {
    let plain = Blocks::default();
    config.always("attention_bias", false)?;
    if family != Family::Gemma3 {
        config.one_of("hidden_act", &["silu"])?;
        match config.list("layer_types")? {
            Some(types) if types.iter().any(|of| *of != Json::Text(FULL.into())) => {
                return Err(ImportError::Unsupported {
                    key: config.name("layer_types"),
                    found: "layers that see a window".into(),
                });
            }
            _ => {}
        }
    }
    Ok(match family {
        Family::Llama => {
            config.always("mlp_bias", false)?;
            config.always("rope_interleaved", false)?;
            plain
        }
        Family::Qwen2 | Family::Qwen3 => {
            // Without windows their width does not matter.
            config.always("use_sliding_window", false)?;
            config.any("sliding_window");
            config.any("max_window_layers");
            Blocks {
                qkv_bias: family == Family::Qwen2,
                qk_norm: family == Family::Qwen3,
                ..plain
            }
        }
        Family::Gemma3 => {
            config.one_of("hidden_act", &[GELU])?;
            config.one_of("hidden_activation", &[GELU])?;
            config.absent("attn_logit_softcapping")?;
            config.absent("final_logit_softcapping")?;
            config.always("use_bidirectional_attention", false)?;
            let tokens = config.optional_size("sliding_window")?.unwrap_or(4_096);
            let width = config
                .optional_size("query_pre_attn_scalar")?
                .unwrap_or(256);
            Blocks {
                qk_norm: true,
                post_norms: true,
                activation: Activation::GeluTanh,
                score_width: (width != shape.head_dim).then_some(width),
                embedding_scale_bits: Some(f32z::sqrt(f32z::cvt(shape.dim as i32)).to_bits()),
                window: Some(Window {
                    tokens,
                    global_every: global_every(config, shape.layers)?,
                }),
                ..plain
            }
        }
    })
}

const FULL: &str = "full_attention";
const GELU: &str = "gelu_pytorch_tanh";

/// Every how many layers one sees everything: by a number, by a list of all layers, or both.
fn global_every(config: &mut Config, layers: usize) -> Result<usize, ImportError> {
    let named = match config.optional_size("sliding_window_pattern")? {
        Some(named) => Some(named),
        None => config.optional_size("_sliding_window_pattern")?,
    };
    let Some(types) = config.list("layer_types")? else {
        return Ok(named.unwrap_or(6));
    };
    let full = |layer: usize| types.get(layer) == Some(&Json::Text(FULL.into()));
    let every = match named {
        Some(every) => every,
        None => (0..layers).find(|layer| full(*layer)).unwrap_or(layers) + 1,
    };
    let expected = |layer: usize| every != 0 && (layer + 1).is_multiple_of(every);
    let window = Json::Text("sliding_attention".into());
    let regular = types.len() == layers
        && (0..layers).all(|layer| match expected(layer) {
            true => full(layer),
            false => types[layer] == window,
        });
    match regular {
        true => Ok(every),
        false => Err(ImportError::Unsupported {
            key: config.name("layer_types"),
            found: "no regular pattern of layers".into(),
        }),
    }
}

/// What a position turns the pairs of a head by, in layers that see everything and in those that see a window.
fn rotations(
    family: Family,
    config: &mut Config,
    head_dim: usize,
) -> Result<(Vec<f64>, Vec<f64>), ImportError> {
    if let Some(found) = config.float("partial_rotary_factor")?
        && found != 1.0
    {
        return Err(ImportError::Unsupported {
            key: config.name("partial_rotary_factor"),
            found: found.to_string(),
        });
    }
    let gemma = family == Family::Gemma3;
    let default = if gemma { 1_000_000.0 } else { 10_000.0 };
    let base = config.float("rope_theta")?;
    let local_base = match gemma {
        true => config.float("rope_local_base_freq")?,
        false => None,
    };
    let scaling = config.object("rope_scaling")?;
    // Newer configurations hold base and scaling together, those of Gemma once for either kind of layer.
    let mut parameters = config.object("rope_parameters")?;
    let mut local = None;
    if let Some(both) = parameters.as_mut().filter(|_| gemma) {
        local = both.object("sliding_attention")?;
        let full = both.object(FULL)?;
        let full = both.required(full, FULL)?;
        core::mem::replace(both, full).finish(&[])?;
    }
    let everywhere = rotation(base, default, parameters.or(scaling), head_dim)?;
    let local = rotation(local_base, 10_000.0, local, head_dim)?;
    Ok((everywhere, local))
}

/// What a position turns the pairs of a head by.
fn rotation(
    base: Option<f32>,
    default: f32,
    scaling: Option<Config>,
    head_dim: usize,
) -> Result<Vec<f64>, ImportError> {
    let plain = |base: Option<f32>, factor: f32| {
        let base = base.unwrap_or(default);
        if !(base > 1.0 && base.is_finite()) {
            return Err(ImportError::RotationBase { found: base });
        }
        Ok(turns(base, factor, None, head_dim))
    };
    let Some(mut scaling) = scaling else {
        return plain(base, 1.0);
    };
    let base = scaling.float("rope_theta")?.or(base);
    let kind = match scaling.text("rope_type")? {
        Some(kind) => {
            scaling.one_of("type", &[&kind])?;
            kind
        }
        None => scaling.text("type")?.unwrap_or_else(|| "default".into()),
    };
    let number = |scaling: &mut Config, key: &str| {
        let number = scaling.float(key)?;
        scaling.required(number, key)
    };
    let factor = match kind.as_str() {
        "default" => 1.0,
        _ => number(&mut scaling, "factor")?,
    };
    if !(factor >= 1.0 && factor.is_finite()) {
        return Err(ImportError::RotationFactor { found: factor });
    }
    match kind.as_str() {
        "default" | "linear" => {
            scaling.finish(&[])?;
            plain(base, factor)
        }
        "llama3" => {
            let low = number(&mut scaling, "low_freq_factor")?;
            let high = number(&mut scaling, "high_freq_factor")?;
            let context = number(&mut scaling, "original_max_position_embeddings")?;
            scaling.finish(&[])?;
            if !(low > 0.0 && low < high && high.is_finite()) {
                return Err(ImportError::RotationRange { low, high });
            }
            let turns = plain(base, 1.0)?.into_iter();
            Ok(turns
                .map(|turn| slowed(turn, factor, low, high, context))
                .collect())
        }
        other => Err(ImportError::Unsupported {
            key: scaling.name("rope_type"),
            found: other.chars().take(64).collect(),
        }),
    }
}

/// Llama 3.1 slows a pair down by `factor` when it turns fewer than `low` times in its first context, not at all when it turns more than
/// `high` times, and in between by a mean that moves with the number of turns.
fn slowed(turn: f64, factor: f32, low: f32, high: f32, context: f32) -> f64 {
    let (factor, low, high) = (f64::from(factor), f64::from(low), f64::from(high));
    let times = f64::from(context) * turn / (2.0 * core::f64::consts::PI);
    if times < low {
        return turn / factor;
    }
    if times > high {
        return turn;
    }
    let share = (times - low) / (high - low);
    (1.0 - share) * turn / factor + share * turn
}

/// The tokenizer as it is, after a look at whether it can be one of this model.
pub(super) fn tokenizer(folder: &mut Folder, vocab: usize) -> Result<Vec<u8>, ImportError> {
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
fn template(folder: &mut Folder) -> Result<Option<String>, ImportError> {
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

/// The name in the source of a tensor of the model file.
fn source_name(name: &str, prefix: &str, gemma: bool) -> String {
    match name {
        "embedding" => return format!("{prefix}embed_tokens.weight"),
        "final_norm" => return format!("{prefix}norm.weight"),
        "head" => return HEAD.into(),
        _ => {}
    }
    let (layer, part) = name
        .strip_prefix("layers.")
        .and_then(|rest| rest.split_once('.'))
        .expect("BUG: every other tensor belongs to a layer");
    let part = match part {
        "q" => "self_attn.q_proj.weight",
        "k" => "self_attn.k_proj.weight",
        "v" => "self_attn.v_proj.weight",
        "o" => "self_attn.o_proj.weight",
        "gate" => "mlp.gate_proj.weight",
        "up" => "mlp.up_proj.weight",
        "down" => "mlp.down_proj.weight",
        "attn_norm" => "input_layernorm.weight",
        "ffn_norm" if gemma => "pre_feedforward_layernorm.weight",
        "ffn_norm" | "attn_post_norm" => "post_attention_layernorm.weight",
        "ffn_post_norm" => "post_feedforward_layernorm.weight",
        "q_bias" => "self_attn.q_proj.bias",
        "k_bias" => "self_attn.k_proj.bias",
        "v_bias" => "self_attn.v_proj.bias",
        "q_norm" => "self_attn.q_norm.weight",
        "k_norm" => "self_attn.k_norm.weight",
        other => unreachable!("BUG: layers have no part {other}"),
    };
    format!("{prefix}layers.{layer}.{part}")
}
