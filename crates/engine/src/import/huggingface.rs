//! Checkpoints as Hugging Face publishes them: what their configurations mean.
//!
//! Every key of a configuration is used, checked, or on a list of keys that cannot change results; any other is refused by its
//! name, and so is any tensor that nothing asks for. All families rotate the halves of a head against each other.

use std::{collections::BTreeSet, path::Path};

mod config;
mod tensors;
mod text;

use self::{
    config::{blocks, rotations, shape, token_ids},
    text::template,
};
pub(super) use self::{
    config::{even_share, name},
    tensors::Tensors,
    text::tokenizer,
};
use super::{
    ImportError, Progress, bert,
    family::Family,
    folder::Folder,
    json::Config,
    plan::{Change, Part, Plan, gather},
};
use crate::model::{
    Manifest, Rope,
    manifest::{Asset, CONVERTER, NAME_BYTES_MAX, Planes, SPEC, WeightFormat},
    root::Hash,
    write::AtomicFile,
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
