//! Folders of sentence encoders, and the model files that they become.

use std::collections::BTreeMap;

use assay_engine::{
    encoder::{SentenceTokenizer, TextError, embed},
    forward::{Kernels, Options},
    model::{
        Encoder, Manifest, ManifestError, Model, ModelError, Rope,
        manifest::{Bend, EncoderKind, Pooling},
    },
    tokenizer::TEXT_BYTES_MAX,
};
use expect_test::expect;
use serde_json::{Value, json};

use super::{
    builder::{numbers, tiny_checkpoint},
    folder::{Checkpoint, Piece},
};

const WORDS: [&str; 14] = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "on", "a", "mat", "##s",
    "[", "]",
];

fn tokenizer() -> String {
    let special = |id: usize| json!({"id": id, "content": WORDS[id], "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false});
    let vocab: serde_json::Map<String, Value> = WORDS
        .iter()
        .enumerate()
        .map(|(id, word)| ((*word).into(), json!(id)))
        .collect();
    let around = |id: usize| json!({"id": WORDS[id], "ids": [id], "tokens": [WORDS[id]]});
    json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 4}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": (0..5).map(special).collect::<Vec<_>>(),
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"[CLS]": around(2), "[SEP]": around(3)}
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab}
    })
    .to_string()
}

const DIM: u64 = 24;
const FF: u64 = 40;
const POSITIONS: u64 = 20;

fn bert() -> Checkpoint {
    let mut tensors = BTreeMap::new();
    let mut seed = 0;
    let mut put = |name: &str, shape: &[u64]| {
        seed += 1;
        tensors.insert(name.to_owned(), Piece::numbers(shape, seed));
    };
    put(
        "embeddings.word_embeddings.weight",
        &[WORDS.len() as u64, DIM],
    );
    put("embeddings.position_embeddings.weight", &[POSITIONS, DIM]);
    put("embeddings.token_type_embeddings.weight", &[2, DIM]);
    put("embeddings.LayerNorm.weight", &[DIM]);
    put("embeddings.LayerNorm.bias", &[DIM]);
    for layer in 0..2 {
        for (part, rows, columns) in [
            ("attention.self.query", DIM, DIM),
            ("attention.self.key", DIM, DIM),
            ("attention.self.value", DIM, DIM),
            ("attention.output.dense", DIM, DIM),
            ("intermediate.dense", FF, DIM),
            ("output.dense", DIM, FF),
        ] {
            put(
                &format!("encoder.layer.{layer}.{part}.weight"),
                &[rows, columns],
            );
            put(&format!("encoder.layer.{layer}.{part}.bias"), &[rows]);
        }
        for part in ["attention.output.LayerNorm", "output.LayerNorm"] {
            put(&format!("encoder.layer.{layer}.{part}.weight"), &[DIM]);
            put(&format!("encoder.layer.{layer}.{part}.bias"), &[DIM]);
        }
    }
    let config = json!({
        "model_type": "bert", "architectures": ["BertModel"], "hidden_act": "gelu", "hidden_size": DIM,
        "intermediate_size": FF, "layer_norm_eps": 1e-12, "max_position_embeddings": POSITIONS,
        "num_attention_heads": 3, "num_hidden_layers": 2, "position_embedding_type": "absolute",
        "type_vocab_size": 2, "vocab_size": WORDS.len(), "pad_token_id": 0, "use_cache": true,
        "_name_or_path": "someone/sentences"
    });
    let checkpoint = Checkpoint {
        config,
        tensors,
        files: BTreeMap::new(),
    };
    checkpoint.file("tokenizer.json", tokenizer())
}

fn encoder(checkpoint: &Checkpoint) -> Encoder {
    Encoder::from_bytes(checkpoint.convert().expect("valid checkpoint")).expect("converted file")
}

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What sentence-transformers is told.
fn sentences(mean: bool, longest: u64) -> Checkpoint {
    let module = |idx: usize, path: &str, kind: &str| json!({"idx": idx, "name": idx.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}")});
    bert()
        .file(
            "modules.json",
            json!([module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling"), module(2, "2_Normalize", "Normalize")]).to_string(),
        )
        .file(
            "1_Pooling/config.json",
            json!({"word_embedding_dimension": DIM, "pooling_mode_cls_token": !mean, "pooling_mode_mean_tokens": mean, "pooling_mode_max_tokens": false, "pooling_mode_mean_sqrt_len_tokens": false}).to_string(),
        )
        .file(
            "sentence_bert_config.json",
            json!({"max_seq_length": longest, "do_lower_case": false}).to_string(),
        )
}

#[test]
fn the_root_of_a_known_encoder_is_the_recorded_one() {
    expect!["a5d89735290ff8360101fe8c7b921c02c32f7cca3bc5e82642bf7a7e1a32252b"]
        .assert_eq(&hex(encoder(&bert()).root()));
    expect!["ab6414829ab5654bd0bc47dd89954a7fa903dc32e864dcc1eaa8613abbd3d325"]
        .assert_eq(&hex(encoder(&sentences(true, 12)).root()));
}

#[test]
fn an_encoder_is_what_its_folder_says() {
    let found = encoder(&bert());
    let shape = &found.shape;
    assert_eq!(
        (shape.layers, shape.dim, shape.heads, shape.kv_heads),
        (2, 24, 3, 3)
    );
    assert_eq!(
        (shape.head_dim, shape.ff, shape.vocab, shape.context_max),
        (8, 40, 14, 20)
    );
    assert_eq!(f32::from_bits(shape.norm_eps_bits), 1e-12);
    let manifest = found.manifest().expect("from a file");
    assert_eq!(manifest.architecture, "bert");
    assert_eq!(manifest.name, "someone/sentences");
    // The row of the first part is in every position.
    let (positions, types) = (numbers(20 * 24, 2), numbers(2 * 24, 3));
    for (i, found) in found.positions.iter().enumerate() {
        assert_eq!(*found, positions[i] + types[i % 24], "{i}");
    }
    assert_eq!(
        found.layers[1].ffn_norm.bias,
        bert().tensors["encoder.layer.1.output.LayerNorm.bias"].values()
    );
    assert_eq!(
        found.layers[0].up_bias,
        bert().tensors["encoder.layer.0.intermediate.dense.bias"].values()
    );

    let shorter = encoder(&sentences(true, 12));
    assert_eq!(shorter.shape.context_max, 12);
    assert_eq!(shorter.positions, found.positions[..12 * 24]);
    assert_eq!(encoder(&sentences(true, 21)).shape.context_max, 20);
}

#[test]
fn names_may_begin_with_bert_and_parts_that_do_not_count_are_left_out() {
    let plain = encoder(&bert());
    let mut prefixed = bert();
    prefixed.tensors = prefixed
        .tensors
        .into_iter()
        .map(|(name, piece)| (format!("bert.{name}"), piece))
        .collect();
    assert_eq!(encoder(&prefixed).positions, plain.positions);
    let numbers = Piece {
        dtype: "I64",
        shape: vec![1, 20],
        data: vec![0; 160],
    };
    let more = bert()
        .tensor("pooler.dense.weight", Piece::numbers(&[DIM, DIM], 90))
        .tensor("pooler.dense.bias", Piece::numbers(&[DIM], 91))
        .tensor("embeddings.position_ids", numbers);
    assert_eq!(
        encoder(&more).layers[1].down.weights(),
        plain.layers[1].down.weights()
    );
    bert()
        .tensor("cls.predictions.bias", Piece::numbers(&[14], 92))
        .refused("tensor \"cls.predictions.bias\" is not known and might change the results; this checkpoint cannot be converted yet");
    bert()
        .without_tensor("encoder.layer.1.output.dense.bias")
        .refused("tensor \"encoder.layer.1.output.dense.bias\" is missing; fetch the file again");
    bert()
        .tensor(
            "embeddings.token_type_embeddings.weight",
            Piece::numbers(&[1, DIM], 3),
        )
        .refused(
            "tensor \"embeddings.token_type_embeddings.weight\" has 1 rows of 24, expected 2 of 24",
        );
    bert()
        .tensor(
            "embeddings.position_embeddings.weight",
            Piece::numbers(&[19, DIM], 3),
        )
        .refused(
            "tensor \"embeddings.position_embeddings.weight\" has 19 rows of 24, expected 20 of 24",
        );
}

#[test]
fn what_an_encoder_cannot_be_is_refused_by_name() {
    let cannot =
        |key: &str, found: &str| format!("{key:?} is {found:?}, which cannot be converted yet");
    for (key, value, found) in [
        ("hidden_act", json!("gelu_new"), "gelu_new"),
        (
            "position_embedding_type",
            json!("relative_key"),
            "relative_key",
        ),
        ("is_decoder", json!(true), "true"),
    ] {
        bert().with(key, value).refused(&cannot(key, found));
    }
    bert().with("embedding_size", json!(128)).refused("metadata key \"embedding_size\" is not known and might change the results; this checkpoint cannot be converted yet");
    bert()
        .with("hidden_size", json!(65_538))
        .with("num_attention_heads", json!(99))
        .refused("checkpoint cannot be a model: width of norms is 65538, expected 1 to 65536");
    bert().with("num_attention_heads", json!(5)).refused("checkpoint cannot be a model: embedding width is 24, not a multiple of 5 (the width must divide evenly)");
    sentences(false, 12).refused(&cannot("pooling_mode_mean_tokens", "false"));
    sentences(true, 0).refused("checkpoint cannot be a model: context is 0, expected 1 to 133144");
    let both = json!({"word_embedding_dimension": DIM, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true});
    sentences(true, 12)
        .file("1_Pooling/config.json", both.to_string())
        .refused(&cannot("pooling_mode_cls_token", "true"));
    let other = json!({"word_embedding_dimension": 25, "pooling_mode_mean_tokens": true});
    sentences(true, 12)
        .file("1_Pooling/config.json", other.to_string())
        .refused("metadata key \"word_embedding_dimension\" is 25, expected 24");
    let dense = json!([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}, {"idx": 1, "name": "1", "path": "1_Dense", "type": "sentence_transformers.models.Dense"}]);
    sentences(true, 12)
        .file("modules.json", dense.to_string())
        .refused(&cannot("type", "sentence_transformers.models.Dense"));
    sentences(true, 12)
        .file("modules.json", "[]")
        .refused(&cannot("modules.json", "0 modules"));
    sentences(true, 12).file("modules.json", "{}").refused_file(
        "modules.json",
        "is not what it should be (an object where a list belongs); fetch the file again",
    );
    sentences(true, 12)
        .file("sentence_bert_config.json", r#"{"do_lower_case": true}"#)
        .refused(&cannot("do_lower_case", "true"));
}

#[test]
fn an_opened_file_is_written_back_to_the_same_bytes() {
    let file = bert().convert().expect("valid checkpoint");
    let found = Encoder::from_bytes(file.clone()).expect("valid");
    assert!(found.to_bytes().expect("has a manifest") == file);
    assert!(found.verify().is_ok());
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("encoder.assay");
    found.save(&path).expect("written");
    let mapped = Encoder::open(&path).expect("valid");
    assert_eq!(mapped.root(), found.root());
    let tokens = [2, 5, 6, 7, 3];
    let of = |encoder: &Encoder| embed(encoder, &tokens, &Options::default()).expect("tokens");
    assert_eq!(of(&mapped), of(&found));
    let public = ::safetensors::SafeTensors::deserialize(&file).expect("safetensors");
    assert_eq!(public.tensor("positions").expect("there").shape(), [20, 24]);
    assert!(Encoder::tiny(1).to_bytes().is_err() && Encoder::tiny(1).verify().is_err());
}

#[test]
fn an_encoder_and_a_decoder_say_what_they_are() {
    let encoder = bert().convert().expect("valid checkpoint");
    let error = Model::from_bytes(encoder).expect_err("an encoder");
    assert!(matches!(error, ModelError::IsEncoder { .. }));
    assert_eq!(
        error.to_string(),
        "model bytes: is a sentence encoder, which generates no text; use it for embeddings, or a decoder for text"
    );
    let (decoder, _) =
        assay_engine::import::convert_bytes(&tiny_checkpoint().build(), |_| ()).expect("valid");
    let error = Encoder::from_bytes(decoder).expect_err("a decoder");
    assert!(matches!(error, ModelError::IsDecoder { .. }));
    assert_eq!(
        error.to_string(),
        "model bytes: is a decoder, which makes no embeddings; use it to generate text, or a sentence encoder for embeddings"
    );
}

#[test]
fn an_encoders_file_with_any_bit_changed_or_cut_anywhere_is_refused() {
    let file = bert().convert().expect("valid checkpoint");
    let mut spoiled = file.clone();
    for at in 0..file.len() {
        spoiled[at] ^= 1 << (at % 8);
        assert!(
            Encoder::from_bytes(spoiled.clone()).is_err(),
            "byte {at} of {}",
            file.len()
        );
        spoiled[at] = file[at];
    }
    for len in (0..file.len()).step_by(7) {
        assert!(Encoder::from_bytes(file[..len].to_vec()).is_err(), "{len}");
    }
}

#[test]
fn what_an_encoder_lacks_is_spelled_in_one_way() {
    let manifest = encoder(&bert()).manifest().expect("from a file").clone();
    assert_eq!(Manifest::parse(&manifest.to_text()).as_ref(), Ok(&manifest));
    let kind = EncoderKind {
        activation: Bend::Gelu,
        pooling: Pooling::NormalisedMean,
    };
    assert_eq!(manifest.encoder, Some(kind));
    assert!(
        manifest
            .to_text()
            .contains(r#""encoder":{"activation":"gelu","pooling":"normalised_mean"}"#)
    );
    let refused = |change: fn(&mut Manifest), what: &'static str| {
        let mut manifest = manifest.clone();
        change(&mut manifest);
        assert_eq!(manifest.check(), Err(ManifestError::Encoder { what }));
    };
    refused(|m| m.rope = Rope::Interleaved, "rotated neighbours");
    refused(|m| m.shape.kv_heads = 1, "key heads that are shared");
    refused(|m| m.tied_head = false, "a logits matrix");
    refused(|m| m.end_tokens = vec![3], "end tokens");
    refused(|m| m.chat_template = m.tokenizer.clone(), "a chat template");
    refused(|m| m.blocks.qk_norm = true, "blocks of a family");
    let null = manifest.to_text().replace(
        r#""encoder":{"activation":"gelu","pooling":"normalised_mean"},"#,
        r#""encoder":null,"#,
    );
    assert_eq!(Manifest::parse(&null), Err(ManifestError::NotCanonical));
}

#[test]
fn texts_become_tokens_whole_or_not_at_all() {
    let encoder = encoder(&bert());
    let tokenizer = SentenceTokenizer::from_encoder(&encoder).expect("it has one");
    // Neither cut to four tokens nor padded, as the file would have it.
    assert_eq!(
        tokenizer.encode("The cats sat on a mat"),
        Ok(vec![2, 5, 6, 11, 7, 8, 9, 10, 3])
    );
    assert_eq!(tokenizer.encode(""), Ok(vec![2, 3]));
    assert_eq!(tokenizer.encode("zebra"), Ok(vec![2, 1, 3]));
    // Markers in a text are text.
    assert_eq!(tokenizer.encode("[SEP]"), Ok(vec![2, 12, 1, 13, 3]));
    let words = |count: usize| tokenizer.encode(&"cat ".repeat(count));
    assert_eq!(words(18).map(|tokens| tokens.len()), Ok(20));
    assert_eq!(words(19), Err(TextError::Tokens { found: 21, max: 20 }));
    let long = " ".repeat(TEXT_BYTES_MAX);
    assert_eq!(tokenizer.encode(&long), Ok(vec![2, 3]));
    let found = TEXT_BYTES_MAX + 1;
    assert_eq!(
        tokenizer.encode(&format!("{long} ")),
        Err(TextError::Length {
            found,
            max: TEXT_BYTES_MAX
        })
    );
    assert!(matches!(
        SentenceTokenizer::from_encoder(&Encoder::tiny(1)),
        Err(TextError::NoTokenizer)
    ));

    let tokens = tokenizer.encode("the cat").expect("it fits");
    let options = |kernels| Options {
        threads: 2,
        prefill_chunk: 3,
        kernels,
    };
    let expected = embed(&encoder, &tokens, &options(Kernels::Reference)).expect("tokens");
    for kernels in Kernels::available() {
        assert_eq!(
            embed(&encoder, &tokens, &options(kernels)).expect("tokens"),
            expected
        );
    }
}
