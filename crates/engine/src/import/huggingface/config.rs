//! What the keys of a decoder's configuration mean.

use crate::{
    f32z,
    import::{
        ImportError,
        family::Family,
        json::{Config, Json},
        plan::turns,
    },
    model::{
        Activation, Blocks, Shape, Window,
        manifest::{CONTEXT_MAX, END_TOKENS_MAX, NAME_BYTES_MAX, ROTATIONS_MAX},
    },
};

/// What the source calls itself, as much as fits.
pub(in crate::import) fn name(config: &mut Config) -> Result<String, ImportError> {
    let full = config.text("_name_or_path")?.unwrap_or_default();
    let end = (0..=NAME_BYTES_MAX.min(full.len()))
        .rev()
        .find(|end| full.is_char_boundary(*end))
        .unwrap_or(0);
    Ok(full[..end].into())
}

/// One token id or a list of them.
pub(super) fn token_ids(config: &mut Config, key: &str) -> Result<Vec<u32>, ImportError> {
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

pub(super) fn shape(family: Family, config: &mut Config) -> Result<Shape, ImportError> {
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
pub(in crate::import) fn even_share(dim: usize, heads: usize) -> Result<usize, ImportError> {
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

pub(super) fn blocks(
    family: Family,
    config: &mut Config,
    shape: &Shape,
) -> Result<Blocks, ImportError> {
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
pub(super) fn rotations(
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
