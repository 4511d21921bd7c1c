//! GGUF to model file.

use std::{collections::BTreeSet, io::Cursor, path::Path};

use super::{
    ImportError, Progress,
    family::{Angles, Family, layer_part},
    folder::map,
    gguf::{Gguf, GgufError},
    plan::{Part, Plan, check_shape, gather, read_row, turns},
    vocabulary::Vocabulary,
};
use crate::model::{
    Manifest, ManifestError, Shape,
    manifest::{
        Asset, CONTEXT_MAX, CONVERTER, NAME_BYTES_MAX, Planes, ROTATIONS_MAX, SPEC, WeightFormat,
    },
    root::Hash,
    write::AtomicFile,
};

/// Converts the GGUF file at `source` into a model file at `target`, which appears only when it is complete.
/// Returns the model root.
pub fn convert_file(
    source: impl AsRef<Path>,
    target: impl AsRef<Path>,
    progress: impl FnMut(Progress),
) -> Result<Hash, ImportError> {
    let bytes = map(source.as_ref())?;
    let plan = plan(bytes.as_slice())?;
    let (target, out) = AtomicFile::create(target.as_ref())?;
    let (out, root) = plan.write(out, progress)?;
    target.commit(out)?;
    Ok(root)
}

/// Converts a GGUF file in memory. Returns the model file and its root.
pub fn convert_bytes(
    source: &[u8],
    progress: impl FnMut(Progress),
) -> Result<(Vec<u8>, Hash), ImportError> {
    let (out, root) = plan(source)?.write(Cursor::new(Vec::new()), progress)?;
    Ok((out.into_inner(), root))
}

const ROTATION_FACTORS: &str = "rope_freqs.weight";
const HEAD: &str = "output.weight";

/// Checks everything but the tensor values.
pub(super) fn plan(source: &[u8]) -> Result<Plan<'_>, ImportError> {
    let gguf = Gguf::parse(source)?;
    let architecture = required(gguf.text("general.architecture")?, "general.architecture")?;
    let family = Family::of(architecture).ok_or_else(|| ImportError::Architecture {
        found: architecture.chars().take(NAME_BYTES_MAX).collect(),
        known: Family::names(),
    })?;
    let of_family = |key: &str| {
        key.strip_prefix(architecture)
            .and_then(|rest| rest.strip_prefix('.'))
            .is_some_and(|rest| !family.knows(rest))
    };
    if let Some(key) = gguf.keys().find(|key| of_family(key)) {
        return Err(ImportError::UnknownKey { key: key.into() });
    }
    let (angles, local_angles) = family.angles(&gguf)?;

    let vocabulary = Vocabulary::read(&gguf)?;
    let shape = shape(&gguf, architecture, vocabulary.len())?;
    let blocks = family.blocks(&gguf, &shape)?;
    let template = gguf
        .text("tokenizer.chat_template")?
        .filter(|text| !text.is_empty());
    let manifest = Manifest {
        spec: SPEC.into(),
        architecture: architecture.into(),
        name: name(&gguf)?,
        shape,
        rope: family.rope(),
        blocks,
        encoder: None,
        weights: WeightFormat::W8,
        planes: Planes::default(),
        tied_head: gguf.tensor(HEAD).is_none(),
        end_tokens: vocabulary.end_tokens(),
        bos_token: vocabulary.bos(),
        eos_token: vocabulary.eos(),
        tokenizer: None,
        chat_template: None,
        source: Some(Asset::of(source)),
        converter: CONVERTER,
    };
    manifest.check()?;
    let tokenizer = vocabulary.to_json().into();
    let mut known = BTreeSet::new();
    let parts = gather(&manifest, |name| {
        let source = source_name(name);
        let tensor = gguf.tensor(&source).cloned();
        known.insert(source.clone());
        tensor
            .map(Part::plain)
            .ok_or(ImportError::TensorMissing { tensor: source })
    })?;
    known.insert(ROTATION_FACTORS.into());
    let head_dim = manifest.shape.head_dim;
    let turns = slowed(&gguf, angles, head_dim)?;
    let local_turns = slowed(&gguf, local_angles, head_dim)?;
    if let Some(unknown) = gguf.tensors().find(|t| !known.contains(t.name)) {
        return Err(ImportError::TensorUnknown {
            tensor: unknown.name.into(),
        });
    }
    Ok(Plan {
        manifest,
        tokenizer,
        template: template.map(Into::into),
        parts,
        turns,
        local_turns,
    })
}

/// What a position turns the pairs of a head by; the file may slow each pair down.
fn slowed(gguf: &Gguf<'_>, angles: Angles, head_dim: usize) -> Result<Vec<f64>, ImportError> {
    let Angles { base, factor } = angles;
    let factors = match gguf.tensor(ROTATION_FACTORS) {
        Some(tensor) => {
            check_shape(tensor, 1, head_dim / 2)?;
            let mut factors = vec![1.0; head_dim / 2];
            read_row(tensor, 0, &mut factors)?;
            Some(factors)
        }
        None => None,
    };
    let turns = turns(base, factor, factors.as_deref(), head_dim);
    if turns.iter().any(|turn| !turn.is_finite()) {
        return Err(ImportError::NotFinite {
            tensor: ROTATION_FACTORS.into(),
            row: 0,
        });
    }
    Ok(turns)
}

/// The name in the source of a tensor of the model file.
fn source_name(name: &str) -> String {
    match name {
        "embedding" => return "token_embd.weight".into(),
        "final_norm" => return "output_norm.weight".into(),
        "head" => return HEAD.into(),
        _ => {}
    }
    let (layer, part) = name
        .strip_prefix("layers.")
        .and_then(|rest| rest.split_once('.'))
        .expect("BUG: every other tensor belongs to a layer");
    format!("blk.{layer}.{}", layer_part(part))
}

pub(super) fn required<T>(value: Option<T>, key: &str) -> Result<T, GgufError> {
    value.ok_or_else(|| GgufError::MissingKey { key: key.into() })
}

fn name(gguf: &Gguf<'_>) -> Result<String, ImportError> {
    let full = gguf.text("general.name")?.unwrap_or_default();
    let end = (0..=NAME_BYTES_MAX.min(full.len()))
        .rev()
        .find(|end| full.is_char_boundary(*end))
        .unwrap_or(0);
    Ok(full[..end].into())
}

fn shape(gguf: &Gguf<'_>, architecture: &str, tokens: usize) -> Result<Shape, ImportError> {
    let full = |key: &str| format!("{architecture}.{key}");
    let count = |key: &str| Ok::<_, ImportError>(gguf.u32(&full(key))?.map(|count| count as usize));
    let must = |key: &str| Ok::<_, ImportError>(required(count(key)?, &full(key))?);
    let agree = |key: &str, expected: usize| match count(key)? {
        Some(found) if found != expected => Err(ImportError::Disagrees {
            key: full(key),
            found: found as u64,
            expected: expected as u64,
        }),
        _ => Ok(()),
    };

    let dim = must("embedding_length")?;
    let heads = must("attention.head_count")?;
    let head_dim = match count("attention.key_length")? {
        Some(head_dim) => head_dim,
        None if heads != 0 && dim % heads == 0 => dim / heads,
        None => {
            let what = "the width must divide evenly";
            return Err(ManifestError::Multiple {
                field: "embedding width",
                found: dim as u64,
                of: heads as u64,
                what,
            }
            .into());
        }
    };
    agree("attention.value_length", head_dim)?;
    agree("rope.dimension_count", head_dim)?;
    agree("vocab_size", tokens)?;
    let epsilon = full("attention.layer_norm_rms_epsilon");
    let epsilon = required(gguf.f32(&epsilon)?, &epsilon)?;
    let shape = Shape {
        layers: must("block_count")?,
        dim,
        heads,
        kv_heads: count("attention.head_count_kv")?.unwrap_or(heads),
        head_dim,
        ff: must("feed_forward_length")?,
        vocab: tokens,
        context_max: must("context_length")?
            .min(CONTEXT_MAX)
            .min(ROTATIONS_MAX / (head_dim / 2).max(1)),
        norm_eps_bits: epsilon.to_bits(),
    };
    shape.check()?;
    Ok(shape)
}
