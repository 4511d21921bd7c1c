//! Files and texts that strangers give the engine: checkpoints, model files, and what is put to a tokenizer.

use std::sync::OnceLock;

use assay_engine::{
    forward::{Options, Session},
    import::{convert_bytes, safetensors::Safetensors},
    model::Model,
    tokenizer::{ChatMessage, Role, Tokenizer},
};

#[path = "../../crates/engine/tests/files/builder.rs"]
mod builder;

/// Weights of the largest model that is run.
const RUN_BYTES_MAX: usize = 1 << 20;

/// Valid checkpoints in GGUF, one of each family.
pub fn checkpoints() -> Vec<(String, Vec<u8>)> {
    let families = [
        &builder::LLAMA,
        &builder::QWEN2,
        &builder::QWEN3,
        &builder::GEMMA3,
    ];
    families
        .iter()
        .map(|family| {
            let file = builder::family_checkpoint(family, builder::SMALL).build();
            (family.name.to_owned(), file)
        })
        .chain([("smallest".to_owned(), builder::tiny_checkpoint().build())])
        .collect()
}

/// Valid model files.
pub fn models() -> Vec<(String, Vec<u8>)> {
    checkpoints()
        .into_iter()
        .filter_map(|(name, source)| Some((name, convert_bytes(&source, |_| ()).ok()?.0)))
        .collect()
}

/// Reads any bytes as a checkpoint; what is converted opens and has the root that was told.
pub fn checkpoint(bytes: &[u8]) {
    let Ok((file, root)) = convert_bytes(bytes, |_| ()) else {
        return;
    };
    let model = Model::from_bytes(file).expect("what was converted opens");
    assert_eq!(model.root(), root);
}

/// Reads any bytes as tensors; each has the bytes that its shape calls for.
pub fn tensors(bytes: &[u8]) {
    let Ok(file) = Safetensors::parse(bytes) else {
        return;
    };
    for (name, stored) in file.tensors() {
        assert!(stored.bytes.len() <= bytes.len());
        if let Some(tensor) = stored.tensor(name) {
            let (values, size) = tensor.data_type.block();
            let blocks = tensor.columns * tensor.rows / values as u64;
            assert_eq!(blocks * size as u64, tensor.bytes.len() as u64);
        }
    }
}

/// Reads any bytes as a model file; what opens is written back as it was, and a small one runs.
pub fn model(bytes: &[u8]) {
    let Ok(model) = Model::from_bytes(bytes.to_vec()) else {
        return;
    };
    assert_eq!(model.to_bytes().expect("it has a manifest"), bytes);
    // Wrong weights are found here, and only here.
    let _ = model.verify();
    let _ = Tokenizer::from_model(&model);
    if bytes.len() <= RUN_BYTES_MAX
        && let Ok(mut session) = Session::new(&model, 2, &Options::default())
    {
        let _ = session.prefill(&[0, 1]);
    }
}

/// Puts any text to a tokenizer: it comes back as it was, and says nothing in control tokens, alone or as a message.
pub fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let tokenizer = tokenizer();
    let Ok(ids) = tokenizer.encode(text) else {
        return;
    };
    assert_eq!(tokenizer.decode(&ids), text);
    assert_eq!(tokenizer.answer_text(&ids), text);
    let control = |ids: &[u32]| ids.iter().filter(|id| tokenizer.is_control(**id)).count();
    let message = |text: &str| tokenizer.prompt_tokens(&[ChatMessage::new(Role::User, text)]);
    if let Ok(ids) = message(text) {
        let plain = message("").expect("an empty message is one");
        assert_eq!(control(&ids), control(&plain));
    }
}

fn tokenizer() -> &'static Tokenizer {
    static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
    TOKENIZER.get_or_init(|| {
        let source = builder::checkpoint(builder::SMALL).build();
        let (file, _) = convert_bytes(&source, |_| ()).expect("it is valid");
        let model = Model::from_bytes(file).expect("it was just converted");
        Tokenizer::from_model(&model).expect("it has one")
    })
}
