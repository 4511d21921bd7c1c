//! GGUF files made by hand: a small valid checkpoint, and every way to spoil it.

#![allow(dead_code, reason = "each test binary uses a part")]

/// Numbers of the value types in the file format.
pub(crate) const U8: u32 = 0;
pub(crate) const U32: u32 = 4;
pub(crate) const I32: u32 = 5;
pub(crate) const F32: u32 = 6;
pub(crate) const BOOL: u32 = 7;
pub(crate) const TEXT: u32 = 8;
pub(crate) const ARRAY: u32 = 9;

/// One metadata entry, already encoded.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    pub(crate) kind: u32,
    pub(crate) value: Vec<u8>,
}

/// One tensor.
#[derive(Clone)]
pub(crate) struct TensorSpec {
    pub(crate) name: Vec<u8>,
    pub(crate) dimensions: Vec<u64>,
    pub(crate) data_type: u32,
    pub(crate) data: Vec<u8>,
    /// Overrides the offset that the data really has.
    pub(crate) offset: Option<u64>,
}

/// A file under construction.
#[derive(Clone)]
pub(crate) struct Builder {
    pub(crate) version: u32,
    pub(crate) entries: Vec<Entry>,
    pub(crate) tensors: Vec<TensorSpec>,
    pub(crate) alignment: u64,
    /// Override the counts that are really there.
    pub(crate) entry_count: Option<u64>,
    pub(crate) tensor_count: Option<u64>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            version: 3,
            entries: Vec::new(),
            tensors: Vec::new(),
            alignment: 32,
            entry_count: None,
            tensor_count: None,
        }
    }
}

pub(crate) fn text(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    [&(text.len() as u64).to_le_bytes(), text].concat()
}

pub(crate) fn array(kind: u32, count: u64, items: Vec<u8>) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &count.to_le_bytes(), &items].concat()
}

pub(crate) fn texts<T: AsRef<[u8]>>(items: &[T]) -> Vec<u8> {
    array(
        TEXT,
        items.len() as u64,
        items.iter().flat_map(text).collect(),
    )
}

impl Builder {
    pub(crate) fn entry(mut self, key: impl AsRef<[u8]>, kind: u32, value: Vec<u8>) -> Self {
        let key = key.as_ref().to_vec();
        self.entries.retain(|entry| entry.key != key);
        self.entries.push(Entry { key, kind, value });
        self
    }

    pub(crate) fn u32(self, key: &str, value: u32) -> Self {
        self.entry(key, U32, value.to_le_bytes().to_vec())
    }

    pub(crate) fn f32(self, key: &str, value: f32) -> Self {
        self.entry(key, F32, value.to_le_bytes().to_vec())
    }

    pub(crate) fn text(self, key: &str, value: &str) -> Self {
        self.entry(key, TEXT, text(value))
    }

    pub(crate) fn texts<T: AsRef<[u8]>>(self, key: &str, values: &[T]) -> Self {
        self.entry(key, ARRAY, texts(values))
    }

    pub(crate) fn i32s(self, key: &str, values: &[i32]) -> Self {
        let items = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.entry(key, ARRAY, array(I32, values.len() as u64, items))
    }

    pub(crate) fn f32s(self, key: &str, values: &[f32]) -> Self {
        let items = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.entry(key, ARRAY, array(F32, values.len() as u64, items))
    }

    pub(crate) fn bool(self, key: &str, value: bool) -> Self {
        self.entry(key, BOOL, vec![u8::from(value)])
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        self.entries.retain(|entry| entry.key != key.as_bytes());
        self
    }

    pub(crate) fn tensor(
        mut self,
        name: &str,
        dimensions: &[u64],
        data_type: u32,
        data: Vec<u8>,
    ) -> Self {
        self.tensors.retain(|tensor| tensor.name != name.as_bytes());
        let name = name.as_bytes().to_vec();
        self.tensors.push(TensorSpec {
            name,
            dimensions: dimensions.to_vec(),
            data_type,
            data,
            offset: None,
        });
        self
    }

    pub(crate) fn without_tensor(mut self, name: &str) -> Self {
        self.tensors.retain(|tensor| tensor.name != name.as_bytes());
        self
    }

    /// An f32 tensor of small numbers that differ from place to place.
    pub(crate) fn numbers(self, name: &str, columns: u64, rows: u64, seed: u32) -> Self {
        let data = numbers((columns * rows) as usize, seed)
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let dimensions = if rows == 1 {
            vec![columns]
        } else {
            vec![columns, rows]
        };
        self.tensor(name, &dimensions, 0, data)
    }

    /// The file, and the length of everything before the tensor data.
    pub(crate) fn build_with_header_len(&self) -> (Vec<u8>, usize) {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend(
            self.tensor_count
                .unwrap_or(self.tensors.len() as u64)
                .to_le_bytes(),
        );
        file.extend(
            self.entry_count
                .unwrap_or(self.entries.len() as u64)
                .to_le_bytes(),
        );
        for Entry { key, kind, value } in &self.entries {
            file.extend(text(key));
            file.extend(kind.to_le_bytes());
            file.extend(value);
        }
        let mut data = Vec::new();
        for tensor in &self.tensors {
            file.extend(text(&tensor.name));
            file.extend((tensor.dimensions.len() as u32).to_le_bytes());
            for dimension in &tensor.dimensions {
                file.extend(dimension.to_le_bytes());
            }
            file.extend(tensor.data_type.to_le_bytes());
            file.extend(tensor.offset.unwrap_or(data.len() as u64).to_le_bytes());
            data.extend(&tensor.data);
            data.resize(
                (data.len() as u64).next_multiple_of(self.alignment) as usize,
                0,
            );
        }
        let header = file.len();
        file.resize((header as u64).next_multiple_of(self.alignment) as usize, 0);
        file.extend(data);
        (file, header)
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        self.build_with_header_len().0
    }
}

/// Numbers in (-1, 1) that a small multiplicative generator gives.
pub(crate) fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(0x915f_77f5);
        ((state >> 8) as i32 - (1 << 23)) as f32 / (1 << 23) as f32
    };
    (0..count).map(|_| next()).collect()
}

/// Sizes of a checkpoint.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) layers: u64,
    pub(crate) dim: u64,
    pub(crate) heads: u64,
    pub(crate) kv_heads: u64,
    pub(crate) ff: u64,
    pub(crate) context: u64,
}

pub(crate) const SMALL: Sizes = Sizes {
    layers: 1,
    dim: 32,
    heads: 2,
    kv_heads: 1,
    ff: 32,
    context: 8,
};

/// The character with which vocabularies write a byte.
pub(crate) fn letter(byte: u8) -> char {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match printable(byte) {
        true => char::from(byte),
        false => char::from_u32(0x100 + (0..byte).filter(|byte| !printable(*byte)).count() as u32)
            .expect("below the surrogates"),
    }
}

pub(crate) const CONTROL: &[&str] = &["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
pub(crate) const MERGES: &[&str] = &["h e", "l l", "he ll", "hell o", "Ġ w", "Ġw o"];

/// The vocabulary of the checkpoint: control tokens, the given bytes, then what the merges make.
pub(crate) fn vocabulary(bytes: impl Iterator<Item = u8>) -> Vec<String> {
    let control = CONTROL.iter().map(|text| (*text).to_owned());
    let letters = bytes.map(|byte| letter(byte).to_string());
    let merged = MERGES.iter().map(|merge| merge.replace(' ', ""));
    control.chain(letters).chain(merged).collect()
}

pub(crate) const TEMPLATE: &str = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// A checkpoint with all 256 bytes in its vocabulary.
pub(crate) fn checkpoint(sizes: Sizes) -> Builder {
    checkpoint_of(sizes, &vocabulary(0..=255))
}

/// The smallest checkpoint: a few letters, and what a replacement character needs.
pub(crate) fn tiny_checkpoint() -> Builder {
    checkpoint_of(
        SMALL,
        &vocabulary(b"helow <>|imstardfx_nu\n\xef\xbf\xbd".iter().copied()),
    )
}

pub(crate) fn checkpoint_of(sizes: Sizes, tokens: &[String]) -> Builder {
    checkpoint_in(&LLAMA, sizes, tokens)
}

/// What an architecture's files hold beside the plain blocks.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    /// Width of a head, where it is not width / heads.
    pub(crate) head_dim: Option<u64>,
    pub(crate) qkv_bias: bool,
    pub(crate) qk_norm: bool,
    pub(crate) post_norms: bool,
}

pub(crate) const LLAMA: Family = Family {
    name: "llama",
    head_dim: None,
    qkv_bias: false,
    qk_norm: false,
    post_norms: false,
};
pub(crate) const QWEN2: Family = Family {
    name: "qwen2",
    qkv_bias: true,
    ..LLAMA
};
pub(crate) const QWEN3: Family = Family {
    name: "qwen3",
    head_dim: Some(24),
    qk_norm: true,
    ..LLAMA
};
pub(crate) const GEMMA3: Family = Family {
    name: "gemma3",
    head_dim: Some(24),
    qk_norm: true,
    post_norms: true,
    ..LLAMA
};

/// A checkpoint of a family with all 256 bytes in its vocabulary.
pub(crate) fn family_checkpoint(family: &Family, sizes: Sizes) -> Builder {
    checkpoint_in(family, sizes, &vocabulary(0..=255))
}

fn checkpoint_in(family: &Family, sizes: Sizes, tokens: &[String]) -> Builder {
    let Sizes {
        layers,
        dim,
        heads,
        kv_heads,
        ff,
        context,
    } = sizes;
    let head_dim = family.head_dim.unwrap_or(dim / heads);
    let key = |name: &str| format!("{}.{name}", family.name);
    let types: Vec<i32> = (0..tokens.len())
        .map(|id| if id < CONTROL.len() { 3 } else { 1 })
        .collect();
    let mut builder = Builder::default()
        .text("general.architecture", family.name)
        .text("general.name", "synthetic")
        .u32(&key("block_count"), layers as u32)
        .u32(&key("context_length"), context as u32)
        .u32(&key("embedding_length"), dim as u32)
        .u32(&key("feed_forward_length"), ff as u32)
        .u32(&key("attention.head_count"), heads as u32)
        .u32(&key("attention.head_count_kv"), kv_heads as u32)
        .f32(&key("attention.layer_norm_rms_epsilon"), 1e-5)
        .f32(&key("rope.freq_base"), 10_000.0)
        .text("tokenizer.ggml.model", "gpt2")
        .text("tokenizer.ggml.pre", "smollm")
        .texts("tokenizer.ggml.tokens", tokens)
        .i32s("tokenizer.ggml.token_type", &types)
        .texts("tokenizer.ggml.merges", MERGES)
        .u32("tokenizer.ggml.bos_token_id", 1)
        .u32("tokenizer.ggml.eos_token_id", 2)
        .text("tokenizer.chat_template", TEMPLATE)
        .numbers("token_embd.weight", dim, tokens.len() as u64, 1)
        .numbers("output_norm.weight", dim, 1, 2);
    if let Some(head_dim) = family.head_dim {
        builder = builder
            .u32(&key("attention.key_length"), head_dim as u32)
            .u32(&key("attention.value_length"), head_dim as u32);
    }
    for layer in 0..layers {
        let parts = [
            ("attn_norm", dim, 1),
            ("attn_q", dim, heads * head_dim),
            ("attn_k", dim, kv_heads * head_dim),
            ("attn_v", dim, kv_heads * head_dim),
            ("attn_output", heads * head_dim, dim),
            ("ffn_norm", dim, 1),
            ("ffn_gate", dim, ff),
            ("ffn_up", dim, ff),
            ("ffn_down", ff, dim),
        ];
        for (seed, (part, columns, rows)) in parts.into_iter().enumerate() {
            builder = builder.numbers(
                &format!("blk.{layer}.{part}.weight"),
                columns,
                rows,
                16 * layer as u32 + seed as u32 + 3,
            );
        }
        let (queries, keys) = (heads * head_dim, kv_heads * head_dim);
        let extra = [
            ("attn_q.bias", queries, family.qkv_bias),
            ("attn_k.bias", keys, family.qkv_bias),
            ("attn_v.bias", keys, family.qkv_bias),
            ("attn_q_norm.weight", head_dim, family.qk_norm),
            ("attn_k_norm.weight", head_dim, family.qk_norm),
            ("post_attention_norm.weight", dim, family.post_norms),
            ("post_ffw_norm.weight", dim, family.post_norms),
        ];
        for (seed, (part, columns, present)) in extra.into_iter().enumerate() {
            if present {
                let seed = 1_000 + 16 * layer as u32 + seed as u32;
                builder = builder.numbers(&format!("blk.{layer}.{part}"), columns, 1, seed);
            }
        }
    }
    builder
}
