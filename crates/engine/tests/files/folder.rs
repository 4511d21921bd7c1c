//! Folders as Hugging Face publishes them, made by hand, and every way to spoil them.

use std::{collections::BTreeMap, fs, path::Path};

use assay_engine::{
    import::{ImportError, convert_bytes, convert_folder},
    model::Model,
};
use serde_json::{Value, json};

use super::builder::{Family, SMALL, Sizes, family_checkpoint, numbers, vocabulary};

/// One tensor of a safetensors file.
#[derive(Clone)]
pub(crate) struct Piece {
    pub(crate) dtype: &'static str,
    pub(crate) shape: Vec<u64>,
    pub(crate) data: Vec<u8>,
}

impl Piece {
    pub(crate) fn floats(shape: &[u64], values: &[f32]) -> Self {
        Self {
            dtype: "F32",
            shape: shape.to_vec(),
            data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }

    pub(crate) fn values(&self) -> Vec<f32> {
        let words = self.data.chunks_exact(4);
        words
            .map(|word| f32::from_le_bytes(word.try_into().expect("four bytes")))
            .collect()
    }

    /// A matrix or vector of small numbers.
    pub(crate) fn numbers(shape: &[u64], seed: u32) -> Self {
        let count: u64 = shape.iter().product();
        Self::floats(shape, &numbers(count as usize, seed))
    }
}

/// A safetensors file from its header and data.
pub(crate) fn file_of(header: &str, data: &[u8]) -> Vec<u8> {
    [
        &(header.len() as u64).to_le_bytes()[..],
        header.as_bytes(),
        data,
    ]
    .concat()
}

/// A safetensors file of these tensors, one after another.
pub(crate) fn safetensors(tensors: &BTreeMap<String, Piece>) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), json!({"format": "pt"}));
    let mut data = Vec::new();
    for (name, piece) in tensors {
        let begin = data.len();
        data.extend(&piece.data);
        let entry = json!({"dtype": piece.dtype, "shape": piece.shape, "data_offsets": [begin, data.len()]});
        header.insert(name.clone(), entry);
    }
    file_of(&Value::Object(header).to_string(), &data)
}

/// A folder under construction.
#[derive(Clone)]
pub(crate) struct Checkpoint {
    pub(crate) config: Value,
    pub(crate) tensors: BTreeMap<String, Piece>,
    /// Other files by name; one called `model.safetensors` stands instead of the tensors.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

impl Checkpoint {
    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        self.config.as_object_mut().expect("an object").remove(key);
        self
    }

    pub(crate) fn file(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert(name.into(), bytes.into());
        self
    }

    pub(crate) fn tensor(mut self, name: &str, piece: Piece) -> Self {
        self.tensors.insert(name.into(), piece);
        self
    }

    pub(crate) fn without_tensor(mut self, name: &str) -> Self {
        self.tensors.remove(name);
        self
    }

    pub(crate) fn write(&self, folder: &Path) {
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
            fs::write(path, bytes).expect("written");
        };
        write("config.json", self.config.to_string().as_bytes());
        if !self
            .files
            .keys()
            .any(|name| name.starts_with("model.safetensors"))
        {
            write("model.safetensors", &safetensors(&self.tensors));
        }
        for (name, bytes) in &self.files {
            write(name, bytes);
        }
    }

    /// The bytes of the converted file.
    pub(crate) fn convert(&self) -> Result<Vec<u8>, ImportError> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (source, target) = (folder.path().join("in"), folder.path().join("out.assay"));
        self.write(&source);
        convert_folder(&source, &target, |_| ())?;
        Ok(fs::read(&target).expect("there"))
    }

    pub(crate) fn model(&self) -> Model {
        Model::from_bytes(self.convert().expect("valid checkpoint")).expect("converted file")
    }

    pub(crate) fn refused(&self, message: &str) {
        let error = self
            .convert()
            .map(|_| ())
            .expect_err("spoiled checkpoint was accepted");
        assert_eq!(error.to_string(), message);
    }

    /// Refused, by a message that begins with the temporary folder's path.
    pub(crate) fn refused_file(&self, name: &str, message: &str) {
        let error = self
            .convert()
            .map(|_| ())
            .expect_err("spoiled checkpoint was accepted")
            .to_string();
        let end = format!("{name}: {message}");
        assert!(error.ends_with(&end), "{error:?} does not end with {end:?}");
    }
}

/// Seven layers, so that a Gemma has both kinds.
pub(crate) const SEVEN: Sizes = Sizes { layers: 7, ..SMALL };

/// The same model twice: as a GGUF file, and as a folder.
pub(crate) fn twins(family: &Family) -> (Vec<u8>, Checkpoint) {
    let gemma = family.name == "gemma3";
    let mut gguf = family_checkpoint(family, SEVEN);
    if gemma {
        gguf = gguf
            .u32("gemma3.attention.sliding_window", 5)
            .f32("gemma3.rope.freq_base", 1e6);
    }
    let head_dim = family.head_dim.unwrap_or(SEVEN.dim / SEVEN.heads);
    let mut tensors = BTreeMap::new();
    for tensor in &mut gguf.tensors {
        let name = String::from_utf8(tensor.name.clone()).expect("a name");
        let mut shape = tensor.dimensions.clone();
        shape.reverse();
        let mut piece = Piece {
            dtype: "F32",
            shape,
            data: tensor.data.clone(),
        };
        if family.name == "llama" && (name.contains("attn_q.") || name.contains("attn_k.")) {
            piece.data = halves(&piece.data, head_dim as usize, SEVEN.dim as usize);
        }
        if gemma && name.contains("norm") {
            // The folder keeps the difference from one.
            let gains: Vec<f32> = piece.values().iter().map(|v| v + 1.0).collect();
            tensor.data = Piece::floats(&[], &gains).data;
        }
        tensors.insert(published(&name, gemma), piece);
    }
    let gguf = gguf.build();
    let (converted, _) = convert_bytes(&gguf, |_| ()).expect("valid checkpoint");
    let converted = Model::from_bytes(converted).expect("converted file");
    let package = converted.package.expect("from a file");
    let tokenizer = package.tokenizer.as_ref().expect("there");
    let mut config = json!({
        "architectures": ["ForCausalLM"],
        "model_type": family.name,
        "hidden_size": SEVEN.dim,
        "num_attention_heads": SEVEN.heads,
        "num_key_value_heads": SEVEN.kv_heads,
        "num_hidden_layers": SEVEN.layers,
        "intermediate_size": SEVEN.ff,
        "vocab_size": vocabulary(0..=255).len(),
        "max_position_embeddings": SEVEN.context,
        "rms_norm_eps": 1e-5,
        "rope_theta": if gemma { 1e6 } else { 1e4 },
        "tie_word_embeddings": true,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "float32",
        "_name_or_path": "someone/synthetic",
    });
    if let Some(head_dim) = family.head_dim {
        config["head_dim"] = head_dim.into();
    }
    if gemma {
        config["model_type"] = "gemma3_text".into();
        config["hidden_activation"] = "gelu_pytorch_tanh".into();
        config["query_pre_attn_scalar"] = head_dim.into();
        config["sliding_window"] = 5.into();
        config["rope_local_base_freq"] = 1e4.into();
    } else {
        config["hidden_act"] = "silu".into();
    }
    let checkpoint = Checkpoint {
        config,
        tensors,
        files: BTreeMap::new(),
    };
    (
        gguf,
        checkpoint.file("tokenizer.json", tokenizer.as_slice()),
    )
}

/// Rows of neighbours that rotate together, as rows whose halves do.
fn halves(data: &[u8], head_dim: usize, columns: usize) -> Vec<u8> {
    let row = 4 * columns;
    let heads = data.len() / row / head_dim;
    let mut out = Vec::new();
    for head in 0..heads {
        for half in 0..2 {
            for pair in 0..head_dim / 2 {
                let from = head * head_dim + 2 * pair + half;
                out.extend(&data[from * row..(from + 1) * row]);
            }
        }
    }
    out
}

/// The name under which a folder has a tensor of a GGUF file.
fn published(name: &str, gemma: bool) -> String {
    match name {
        "token_embd.weight" => return "model.embed_tokens.weight".into(),
        "output_norm.weight" => return "model.norm.weight".into(),
        _ => {}
    }
    let rest = name.strip_prefix("blk.").expect("a layer's");
    let (layer, part) = rest.split_once('.').expect("a part");
    let (part, end) = part.rsplit_once('.').expect("weight or bias");
    let part = match part {
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_output" => "self_attn.o_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        "attn_norm" => "input_layernorm",
        "ffn_norm" if gemma => "pre_feedforward_layernorm",
        "ffn_norm" => "post_attention_layernorm",
        "post_attention_norm" => "post_attention_layernorm",
        "post_ffw_norm" => "post_feedforward_layernorm",
        other => panic!("{other}"),
    };
    format!("model.layers.{layer}.{part}.{end}")
}
