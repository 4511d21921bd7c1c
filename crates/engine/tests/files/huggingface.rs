//! Folders of decoders: what they become, and what is refused by its name.

use std::{collections::BTreeMap, fs};

use assay_engine::{
    forward::{Options, Session},
    import::{CONFIG_BYTES_MAX, SHARDS_MAX, convert, convert_bytes, convert_folder},
    model::{
        Model, Rope,
        manifest::{END_TOKENS_MAX, TEMPLATE_BYTES_MAX},
    },
};
use expect_test::expect;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    builder::{Family, GEMMA3, LLAMA, QWEN2, QWEN3},
    folder::{Checkpoint, Piece, safetensors, twins},
};

fn llama() -> Checkpoint {
    twins(&LLAMA).1
}

fn logits(model: &Model) -> Vec<u32> {
    let mut session = Session::new(model, 8, &Options::default()).expect("the model runs");
    let logits = session.prefill(&[5, 80, 81, 7, 200, 9]).expect("tokens");
    logits.iter().map(|l| l.to_bits()).collect()
}

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_folder_and_a_gguf_file_of_the_same_weights_give_the_same_logits() {
    for family in [&LLAMA, &QWEN2, &QWEN3, &GEMMA3] {
        let (gguf, folder) = twins(family);
        let (gguf, _) = convert_bytes(&gguf, |_| ()).expect("valid checkpoint");
        let (gguf, folder) = (Model::from_bytes(gguf).expect("valid"), folder.model());
        assert_eq!(logits(&gguf), logits(&folder), "{}", family.name);
        assert_eq!((&gguf.shape, &gguf.blocks), (&folder.shape, &folder.blocks));
        assert_eq!(folder.rope, Rope::HalfSplit);
        let (a, b) = (gguf.manifest().unwrap(), folder.manifest().unwrap());
        assert_eq!(a.architecture, b.architecture);
        assert_eq!(a.tokenizer, b.tokenizer);
    }
}

#[test]
fn roots_of_folders_are_the_recorded_ones() {
    let root = |of: &Family| hex(twins(of).1.model().root());
    expect!["82368291a2df692a9f4e3dae56f7f5960f5a416f7508d7cc3c0c78b3735859fa"]
        .assert_eq(&root(&LLAMA));
    expect!["3e3afaaee097f6795e580eaa999bd4762436ab5600e89a396777223ecad5b750"]
        .assert_eq(&root(&QWEN2));
    expect!["b88bbffbe212e5d2da5ea13a0bcc77eaa5ebcb8bf4301fe96bc29e36d78489f6"]
        .assert_eq(&root(&QWEN3));
    expect!["eafe80bea41c3b05669eb476fbed28754cea70e8be65909b53db753a5be49c51"]
        .assert_eq(&root(&GEMMA3));
}

#[test]
fn half_precision_widens_to_the_same_weights() {
    // Numbers that both short formats hold exactly.
    let values: Vec<f32> = (0..32 * 32)
        .map(|i| ((i % 255) as f32 - 127.0) / 128.0)
        .collect();
    let name = "model.layers.0.mlp.up_proj.weight";
    let piece = |dtype, data: Vec<u8>| Piece {
        dtype,
        shape: vec![32, 32],
        data,
    };
    let bf16 = values
        .iter()
        .flat_map(|v| ((v.to_bits() >> 16) as u16).to_le_bytes())
        .collect();
    let f16 = values.iter().flat_map(|v| half(*v).to_le_bytes()).collect();
    let of = |piece| llama().tensor(name, piece).model().layers[0].up.clone();
    let expected = of(Piece::floats(&[32, 32], &values));
    for piece in [piece("BF16", bf16), piece("F16", f16)] {
        let found = of(piece);
        assert_eq!(found.weights(), expected.weights());
        assert_eq!(found.scales(), expected.scales());
    }
}

/// A half float of a number that it holds exactly.
fn half(value: f32) -> u16 {
    let bits = value.to_bits();
    if value == 0.0 {
        return 0;
    }
    let exponent = (bits >> 23 & 0xff) as i32 - 112;
    ((bits >> 16 & 0x8000) as i32 | exponent << 10 | (bits >> 13 & 0x3ff) as i32) as u16
}

#[test]
fn what_was_read_is_the_source_in_the_documented_order() {
    let tokenizer_config = json!({"chat_template": "{{ messages }}"}).to_string();
    let checkpoint = llama()
        .file("generation_config.json", r#"{"eos_token_id": [2, 0]}"#)
        .file("tokenizer_config.json", tokenizer_config.as_bytes())
        .file("README.md", "not read");
    let model = checkpoint.model();
    let whole = [
        checkpoint.config.to_string().as_bytes(),
        &checkpoint.files["generation_config.json"],
        &checkpoint.files["tokenizer.json"],
        tokenizer_config.as_bytes(),
        &safetensors(&checkpoint.tensors),
    ]
    .concat();
    let source = model.manifest().unwrap().source.clone().expect("named");
    assert_eq!(source.bytes, whole.len() as u64);
    assert_eq!(source.sha256, hex(Sha256::digest(&whole).into()));
    assert_eq!(model.end_tokens, [0, 2]);
    let package = model.package.as_ref().expect("from a file");
    assert_eq!(package.template.as_deref(), Some("{{ messages }}"));
    let manifest = model.manifest().unwrap();
    assert_eq!((manifest.bos_token, manifest.eos_token), (Some(1), Some(2)));
    assert_eq!(manifest.name, "someone/synthetic");
}

#[test]
fn a_template_is_found_wherever_it_stands() {
    let template = |checkpoint: Checkpoint| {
        let model = checkpoint.model();
        model
            .package
            .as_ref()
            .expect("from a file")
            .template
            .clone()
    };
    assert_eq!(template(llama()), None);
    let config = |value: Value| {
        llama().file(
            "tokenizer_config.json",
            json!({ "chat_template": value }).to_string(),
        )
    };
    let named = json!([
        {"name": "tool_use", "template": "tools"},
        {"name": "default", "template": "plain"},
    ]);
    assert_eq!(template(config(named)).as_deref(), Some("plain"));
    assert_eq!(template(config(json!(""))), None);
    let both = config(json!("old")).file("chat_template.jinja", "new");
    assert_eq!(template(both).as_deref(), Some("new"));
    config(json!(7)).refused("metadata key \"chat_template\" holds a count, expected text");

    let longest = "x".repeat(TEMPLATE_BYTES_MAX as usize);
    let fits = llama().file("chat_template.jinja", longest.as_str());
    assert_eq!(template(fits), Some(longest.clone()));
    llama()
        .file("chat_template.jinja", format!("{longest}x"))
        .refused_file(
            "chat_template.jinja",
            "is longer than the limit of 65536 bytes",
        );
    llama()
        .file("chat_template.jinja", [0xff])
        .refused_file("chat_template.jinja", "is not UTF-8 text");
    config(json!(format!("{longest}x")))
        .refused("model cannot be described: chat template is 65537, expected 1 to 65536");
}

#[test]
fn keys_that_might_change_results_are_refused_by_name() {
    let unknown = |key: &str| {
        format!(
            "metadata key {key:?} is not known and might change the results; this checkpoint cannot be converted yet"
        )
    };
    for (key, value) in [
        ("num_experts", json!(8)),
        ("quantization_config", json!({"bits": 4})),
        ("logit_scale", json!(0.5)),
        ("sliding_window", json!(4)),
    ] {
        llama().with(key, value).refused(&unknown(key));
    }
    // Nothing is as good as absent, save under a name that nobody knows.
    llama().with("rope_scaling", Value::Null).model();
    for (key, value, found) in [
        ("hidden_act", json!("gelu"), "gelu"),
        ("attention_bias", json!(true), "true"),
        ("mlp_bias", json!(true), "true"),
        ("rope_interleaved", json!(true), "true"),
        ("partial_rotary_factor", json!(0.5), "0.5"),
        (
            "layer_types",
            json!(["sliding_attention"]),
            "layers that see a window",
        ),
        (
            "rope_scaling",
            json!({"rope_type": "yarn", "factor": 2.0}),
            "yarn",
        ),
    ] {
        let key_name = if key == "rope_scaling" {
            "rope_scaling.rope_type"
        } else {
            key
        };
        llama().with(key, value).refused(&format!(
            "{key_name:?} is {found:?}, which cannot be converted yet"
        ));
    }
    let qwen = || twins(&QWEN2).1;
    let windows = qwen()
        .with("use_sliding_window", json!(false))
        .with("sliding_window", json!(4096))
        .with("max_window_layers", json!(3));
    assert!(windows.model().blocks.window.is_none());
    qwen()
        .with("use_sliding_window", json!(true))
        .refused("\"use_sliding_window\" is \"true\", which cannot be converted yet");
    twins(&GEMMA3)
        .1
        .with("final_logit_softcapping", json!(30.0))
        .refused("\"final_logit_softcapping\" is \"a number\", which cannot be converted yet");

    llama().with("model_type", json!("mamba")).refused("architecture \"mamba\" cannot be converted; use a checkpoint of one of \"llama\", \"qwen2\", \"qwen3\", \"gemma3\", \"gemma3_text\", \"bert\"");
    llama()
        .without("rms_norm_eps")
        .refused("metadata key \"rms_norm_eps\" is missing");
    for (value, kind) in [
        (json!("32"), "text"),
        (json!(-32), "a number"),
        (json!(32.5), "a number"),
        (json!([32]), "a list"),
    ] {
        llama().with("hidden_size", value).refused(&format!(
            "metadata key \"hidden_size\" holds {kind}, expected a count"
        ));
    }
}

#[test]
fn shapes_that_no_engine_could_run_are_refused() {
    let cannot = "checkpoint cannot be a model: ";
    for (key, value, message) in [
        (
            "num_hidden_layers",
            513u64,
            "layers is 513, expected 1 to 512",
        ),
        (
            "num_hidden_layers",
            u64::MAX,
            "layers is 18446744073709551615, expected 1 to 512",
        ),
        (
            "vocab_size",
            1 << 40,
            "vocabulary is 1099511627776, expected 1 to 1048576",
        ),
        (
            "num_attention_heads",
            0,
            "embedding width is 32, not a multiple of 0 (the width must divide evenly)",
        ),
        ("num_key_value_heads", 3, "key heads is 3, expected 1 to 2"),
        (
            "head_dim",
            3,
            "head width is 3, not a multiple of 2 (elements rotate in pairs)",
        ),
        (
            "intermediate_size",
            133_145,
            "feed-forward width is 133145, expected 1 to 133144",
        ),
        (
            "max_position_embeddings",
            0,
            "context is 0, expected 1 to 133144",
        ),
    ] {
        llama()
            .with(key, json!(value))
            .refused(&format!("{cannot}{message}"));
    }
    llama()
        .with("eos_token_id", json!(100_000))
        .refused(&format!(
            "{cannot}end tokens holds token 100000, the vocabulary ends at 265"
        ));
    let ids = |count: usize| json!(vec![2; count]);
    llama().with("eos_token_id", ids(END_TOKENS_MAX)).model();
    llama()
        .with("eos_token_id", ids(END_TOKENS_MAX + 1))
        .refused("\"eos_token_id\" holds 65 token ids, more than the limit of 64");
    llama()
        .with("eos_token_id", json!(u64::MAX))
        .refused("metadata key \"eos_token_id\" holds a count, expected a token id");
}

#[test]
fn tensors_are_exactly_those_that_the_configuration_calls_for() {
    let name = "model.layers.3.self_attn.q_proj.weight";
    llama()
        .without_tensor(name)
        .refused(&format!("tensor {name:?} is missing; fetch the file again"));
    llama()
        .tensor(name, Piece::numbers(&[31, 32], 1))
        .refused(&format!(
            "tensor {name:?} has 31 rows of 32, expected 32 of 32"
        ));
    llama()
        .tensor(name, Piece::numbers(&[2, 16, 32], 1))
        .refused(&format!("tensor {name:?} has 3 dimensions, expected 2"));
    llama()
        .tensor("model.norm.weight", Piece::numbers(&[1, 32], 1))
        .refused("tensor \"model.norm.weight\" has 2 dimensions, expected 1");
    let wide = Piece {
        dtype: "F64",
        shape: vec![32, 32],
        data: vec![0; 8 * 1024],
    };
    llama().tensor(name, wide).refused(&format!(
        "tensor {name:?} has type \"F64\"; F32, F16 and BF16 can be converted"
    ));
    for (family, extra) in [
        (&LLAMA, "model.layers.0.self_attn.q_proj.bias"),
        (&QWEN2, "model.layers.0.self_attn.o_proj.bias"),
        (&QWEN3, "model.layers.6.self_attn.v_proj.bias"),
        (&LLAMA, "model.layers.4294967296.self_attn.q_proj.weight"),
        (&LLAMA, "model.layers.0.self_attn.q_norm.weight"),
    ] {
        twins(family).1.tensor(extra, Piece::numbers(&[32], 1)).refused(&format!(
            "tensor {extra:?} is not known and might change the results; this checkpoint cannot be converted yet"
        ));
    }
    let mut values = vec![0.5; 32 * 32];
    values[100] = f32::INFINITY;
    llama()
        .tensor(name, Piece::floats(&[32, 32], &values))
        .refused(&format!(
            "tensor {name:?} row 3 holds a value that is not a finite number"
        ));
    // What rotation tables are computed from, in old checkpoints.
    let buffer = "model.layers.0.self_attn.rotary_emb.inv_freq";
    llama().tensor(buffer, Piece::numbers(&[8], 1)).model();
}

#[test]
fn a_head_is_kept_or_must_be_the_embedding() {
    let untied = llama()
        .with("tie_word_embeddings", json!(false))
        .tensor("lm_head.weight", Piece::numbers(&[265, 32], 9));
    assert_eq!(untied.model().head.map(|head| head.rows()), Some(265));
    llama()
        .without("tie_word_embeddings")
        .refused("tensor \"lm_head.weight\" is missing; fetch the file again");
    let embedding = llama().tensors["model.embed_tokens.weight"].clone();
    let same = llama().tensor("lm_head.weight", embedding);
    assert!(same.model().head.is_none());
    llama()
        .tensor("lm_head.weight", Piece::numbers(&[265, 32], 9))
        .refused("tensor \"lm_head.weight\" differs from \"model.embed_tokens.weight\", which the configuration says it is");
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "an independent value to compare with"
)]
fn llama_3_slows_its_long_waves_down() {
    let scaling = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64
    });
    let long = || llama().with("max_position_embeddings", json!(100));
    let slow = long().with("rope_scaling", scaling.clone()).model();
    let plain = long().model();
    let pairs = 8;
    for i in 0..pairs {
        let turn = 10_000f64.powf(-2.0 * i as f64 / 16.0);
        let wave = 2.0 * std::f64::consts::PI / turn;
        let smooth = (64.0 / wave - 1.0) / (4.0 - 1.0);
        let expected = if wave < 64.0 / 4.0 {
            turn
        } else if wave > 64.0 {
            turn / 8.0
        } else {
            (1.0 - smooth) * turn / 8.0 + smooth * turn
        };
        for position in [1, 99] {
            let found = f64::from(slow.rope_sin[position * pairs + i]);
            assert!(
                (found - (position as f64 * expected).sin()).abs() < 1e-7,
                "{i}"
            );
        }
    }
    assert_eq!(slow.rope_sin[8], plain.rope_sin[8]);
    assert_ne!(slow.rope_sin[8 + 7], plain.rope_sin[8 + 7]);

    // Newer configurations say the same in another place.
    let mut together = scaling.clone();
    together["rope_theta"] = json!(10_000.0);
    let newer = long()
        .without("rope_theta")
        .with("rope_parameters", together);
    assert_eq!(newer.model().rope_sin, slow.rope_sin);

    let broken = |key: &str, value: Value| {
        let mut scaling = scaling.clone();
        scaling[key] = value;
        long().with("rope_scaling", scaling)
    };
    broken("factor", json!(0.5)).refused("rotation factor 0.5 is not a number of at least 1");
    broken("low_freq_factor", json!(4.0))
        .refused("rotation slowed between 4 and 4 turns; expected 0 < the first < the second");
    broken("low_freq_factor", Value::Null)
        .refused("metadata key \"rope_scaling.low_freq_factor\" is missing");
    broken("attention_factor", json!(2.0)).refused("metadata key \"rope_scaling.attention_factor\" is not known and might change the results; this checkpoint cannot be converted yet");
    llama()
        .with("rope_theta", json!(1.0))
        .refused("rotation base 1 is not a number above 1");
}

#[test]
fn gemma_says_its_pattern_of_windows_in_several_ways() {
    let gemma = || twins(&GEMMA3).1;
    let plain = gemma().model();
    let types = |every: usize| {
        let of = |i: usize| {
            if (i + 1).is_multiple_of(every) {
                "full_attention"
            } else {
                "sliding_attention"
            }
        };
        json!((0..7).map(of).collect::<Vec<_>>())
    };
    assert_eq!(plain.blocks.window.unwrap().global_every, 6);
    for checkpoint in [
        gemma().with("sliding_window_pattern", json!(6)),
        gemma()
            .with("_sliding_window_pattern", json!(6))
            .with("layer_types", types(6)),
        gemma().with("layer_types", types(6)),
    ] {
        assert_eq!(checkpoint.model().blocks, plain.blocks);
    }
    let third = gemma().with("layer_types", types(3)).model();
    assert_eq!(third.blocks.window.unwrap().global_every, 3);
    for spoiled in [
        gemma()
            .with("layer_types", types(3))
            .with("sliding_window_pattern", json!(6)),
        gemma().with("layer_types", json!(["full_attention"])),
        gemma().with("layer_types", json!([1, 2, 3, 4, 5, 6, 7])),
    ] {
        spoiled.refused(
            "\"layer_types\" is \"no regular pattern of layers\", which cannot be converted yet",
        );
    }
    gemma()
        .with("sliding_window_pattern", json!(0))
        .refused("checkpoint cannot be a model: layers from one that sees everything to the next is 0, expected 2 to 7");
    let scored = gemma().with("query_pre_attn_scalar", json!(168)).model();
    assert_eq!(scored.blocks.score_width, Some(168));
    let linear = gemma()
        .with(
            "rope_scaling",
            json!({"rope_type": "linear", "factor": 8.0}),
        )
        .model();
    assert_ne!(linear.rope_sin, plain.rope_sin);
    assert_eq!(linear.local_sin, plain.local_sin);
    // Newer configurations name both kinds of layer.
    let newer = gemma()
        .without("rope_theta")
        .without("rope_local_base_freq")
        .with(
            "rope_parameters",
            json!({
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            }),
        );
    assert_eq!(newer.model().rope_sin, linear.rope_sin);
}

#[test]
fn the_text_part_of_a_model_that_sees_pictures_is_converted_alone() {
    let text = twins(&GEMMA3).1;
    let expected = text.model();
    let mut inner = text.config.clone();
    let inner_object = inner.as_object_mut().expect("an object");
    let ends = inner_object.remove("eos_token_id").expect("there");
    for prefix in ["language_model.model.", "model.language_model."] {
        let mut outer = text.clone();
        outer.config = json!({
            "model_type": "gemma3", "text_config": inner, "vision_config": {"any": "thing"},
            "eos_token_id": ends, "mm_tokens_per_image": 256, "initializer_range": 0.02
        });
        outer.tensors = text
            .tensors
            .iter()
            .map(|(name, piece)| (name.replacen("model.", prefix, 1), piece.clone()))
            .chain([
                ("vision_tower.a".to_owned(), Piece::numbers(&[3], 1)),
                (
                    "multi_modal_projector.b".to_owned(),
                    Piece::numbers(&[3], 1),
                ),
            ])
            .collect();
        let found = outer.model();
        assert_eq!(logits(&found), logits(&expected), "{prefix}");
        assert_eq!(found.end_tokens, expected.end_tokens);
        outer
            .tensors
            .insert("audio_tower.c".into(), Piece::numbers(&[3], 1));
        outer.refused("tensor \"audio_tower.c\" is not known and might change the results; this checkpoint cannot be converted yet");
    }
    // A plain text model has no such tensors.
    text.tensor("vision_tower.a", Piece::numbers(&[3], 1)).refused("tensor \"vision_tower.a\" is not known and might change the results; this checkpoint cannot be converted yet");
}

/// The tensors in several files, and an index that says where.
fn sharded(parts: usize) -> Checkpoint {
    let mut checkpoint = llama();
    let mut shards = vec![BTreeMap::new(); parts];
    let mut map = serde_json::Map::new();
    for (i, (name, piece)) in checkpoint.tensors.iter().enumerate() {
        let shard = i % parts;
        shards[shard].insert(name.clone(), piece.clone());
        map.insert(name.clone(), json!(shard_name(shard)));
    }
    for (i, shard) in shards.iter().enumerate() {
        checkpoint = checkpoint.file(&shard_name(i), safetensors(shard));
    }
    checkpoint.with_index(json!({"metadata": {"total_size": 1}, "weight_map": map}))
}

fn shard_name(i: usize) -> String {
    format!("model-{i:05}.safetensors")
}

const INDEX: &str = "model.safetensors.index.json";

impl Checkpoint {
    fn with_index(self, index: Value) -> Self {
        self.file(INDEX, index.to_string())
    }

    fn index(&self) -> Value {
        serde_json::from_slice(&self.files[INDEX]).expect("an index")
    }
}

#[test]
fn weights_in_several_files_are_found_by_the_index() {
    let whole = llama().model();
    let parts = sharded(3).model();
    assert_eq!(logits(&whole), logits(&parts));
    assert_ne!(
        whole.manifest().unwrap().source,
        parts.manifest().unwrap().source
    );

    let name = "model.layers.0.mlp.up_proj.weight";
    let moved = |to: Value| {
        let checkpoint = sharded(3);
        let mut index = checkpoint.index();
        index["weight_map"][name] = to;
        checkpoint.with_index(index)
    };
    let home = sharded(3).index()["weight_map"][name].clone();
    let other = (0..3)
        .map(shard_name)
        .find(|shard| home != json!(shard))
        .unwrap();
    moved(json!(other)).refused(&format!(
        "tensor {name:?} in {home} is not in the index; fetch the files again"
    ));
    let mut lacking = sharded(3);
    let mut index = lacking.index();
    index["weight_map"]["extra"] = json!(shard_name(1));
    lacking = lacking.with_index(index);
    lacking.refused("tensor \"extra\" is not in \"model-00001.safetensors\", where the index has it; fetch the files again");
    for bad in [
        "../model-00001.safetensors",
        "/etc/passwd.safetensors",
        "a\\b.safetensors",
        ".safetensors",
        "model-00001.bin",
        "",
        "m\u{e4}.safetensors",
        "a\0.safetensors",
    ] {
        moved(json!(bad)).refused(&format!(
            "weight file name {bad:?} is not a plain name that ends with .safetensors"
        ));
    }
    let longest = format!("{}.safetensors", "x".repeat(256));
    moved(json!(longest)).refused(&format!(
        "weight file name \"{}\" is not a plain name that ends with .safetensors",
        "x".repeat(256)
    ));
    moved(json!(7)).refused_file(
        INDEX,
        "is not what it should be (a count where a file name belongs); fetch the file again",
    );
    moved(json!("absent.safetensors")).refused_file("absent.safetensors", "cannot be read");
    sharded(2)
        .with_index(json!({"weight_map": {}}))
        .refused("0 weight files, expected 1 to 512");
    sharded(2).with_index(json!({})).refused_file(
        INDEX,
        "is not what it should be (no weight_map of tensors to files); fetch the file again",
    );
}

#[test]
fn weight_files_are_counted() {
    let most = |count: usize| {
        let checkpoint = sharded(1);
        let mut index = checkpoint.index();
        for i in 1..count {
            index["weight_map"][format!("extra {i}")] = json!(shard_name(i));
        }
        checkpoint.with_index(index)
    };
    // At the limit the first file that is not there is named instead.
    most(SHARDS_MAX).refused_file("model-00001.safetensors", "cannot be read");
    most(SHARDS_MAX + 1).refused("513 weight files, expected 1 to 512");
}

#[test]
fn small_files_are_bounded_and_read_once_for_one_meaning() {
    llama()
        .file(
            "generation_config.json",
            vec![b' '; CONFIG_BYTES_MAX as usize + 1],
        )
        .refused_file(
            "generation_config.json",
            "is longer than the limit of 16777216 bytes",
        );
    let padded = [b"{}".to_vec(), vec![b' '; CONFIG_BYTES_MAX as usize - 2]].concat();
    llama().file("generation_config.json", padded).model();
    for (text, reason) in [
        (
            r#"{"eos_token_id": 1, "eos_token_id": 2}"#,
            "key \"eos_token_id\" is there twice at line 1 column 38",
        ),
        ("[]", "a list where an object belongs"),
        ("{", "EOF while parsing an object at line 1 column 1"),
        ("{} x", "trailing characters at line 1 column 4"),
    ] {
        llama().file("generation_config.json", text).refused_file(
            "generation_config.json",
            &format!("is not what it should be ({reason}); fetch the file again"),
        );
    }
    let deep = "[".repeat(100_000);
    llama().file("generation_config.json", format!("{{\"a\": {deep}")).refused_file(
        "generation_config.json",
        "is not what it should be (recursion limit exceeded at line 1 column 133); fetch the file again",
    );
    llama()
        .file("tokenizer.json", "{}")
        .convert()
        .expect_err("no tokenizer");
    let mut lacking = llama();
    lacking.files.remove("tokenizer.json");
    lacking.refused_file("tokenizer.json", "cannot be read");
    llama()
        .with("vocab_size", json!(264))
        .refused("tokenizer.json has token 264, the model's vocabulary ends at 264");
}

#[test]
fn convert_takes_a_file_or_a_folder() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (gguf, checkpoint) = twins(&QWEN3);
    let (file, sources) = (folder.path().join("in.gguf"), folder.path().join("in"));
    let target = folder.path().join("out.assay");
    fs::write(&file, gguf).expect("written");
    checkpoint.write(&sources);
    for source in [&file, &sources] {
        let mut seen = Vec::new();
        let root = convert(source, &target, |progress| seen.push(progress)).expect("valid");
        assert_eq!(Model::open(&target).expect("whole").root(), root);
        assert_eq!(seen[0].done, 0);
        assert_eq!(seen[seen.len() - 1].done, seen[0].total);
    }
    let absent = folder.path().join("absent");
    let message = convert(&absent, &target, |_| ())
        .expect_err("absent")
        .to_string();
    assert_eq!(message, format!("{}: cannot be read", absent.display()));
    let message = convert_folder(&absent, &target, |_| ())
        .expect_err("absent")
        .to_string();
    assert!(
        message.ends_with("config.json: cannot be read"),
        "{message}"
    );
    // A failed conversion leaves what was there.
    let spoiled = checkpoint.without_tensor("model.norm.weight");
    spoiled.write(&sources);
    let before = fs::read(&target).expect("there");
    convert(&sources, &target, |_| ()).expect_err("spoiled");
    assert_eq!(fs::read(&target).expect("there"), before);
    assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 3);
}
