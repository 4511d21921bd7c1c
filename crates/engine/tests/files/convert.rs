//! Conversion: what a checkpoint becomes, and checkpoints that cannot become a model.

use std::{fs, path::Path};

use assay_engine::{
    f32z,
    forward::Options,
    import::{
        ImportError, convert_bytes, convert_file,
        float::{FloatModel, surprise},
    },
    model::{Activation, Model, Rope, Window},
};
use expect_test::expect;

use super::builder::{
    Builder, Family, GEMMA3, QWEN2, QWEN3, SMALL, Sizes, checkpoint, family_checkpoint,
    tiny_checkpoint, vocabulary,
};

fn convert(builder: &Builder) -> Model {
    let (file, root) = convert_bytes(&builder.build(), |_| ()).expect("valid checkpoint");
    let model = Model::from_bytes(file).expect("converted file");
    assert_eq!(model.root(), root);
    model
}

fn refused(builder: &Builder, message: &str) {
    let error = convert_bytes(&builder.build(), |_| ())
        .map(|_| ())
        .expect_err("spoiled checkpoint was accepted");
    assert_eq!(error.to_string(), message);
}

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_root_of_a_known_checkpoint_is_the_recorded_one() {
    // Rows, scales, tables from libm, tokenizer text and manifest all take part: any change of bytes shows here.
    expect!["04640b665856bbac3c63809704d52c2ac6e09d99449dac6d28838d4d2e3b2730"]
        .assert_eq(&hex(convert(&checkpoint(SMALL)).root()));
}

#[test]
fn shapes_tokens_and_layout_come_from_the_metadata() {
    let sizes = Sizes {
        layers: 2,
        dim: 64,
        heads: 4,
        kv_heads: 2,
        ff: 96,
        context: 40,
    };
    let model = convert(&checkpoint(sizes));
    let shape = &model.shape;
    assert_eq!(
        (shape.layers, shape.dim, shape.heads, shape.kv_heads),
        (2, 64, 4, 2)
    );
    assert_eq!((shape.head_dim, shape.ff, shape.context_max), (16, 96, 40));
    assert_eq!(shape.vocab, vocabulary(0..=255).len());
    assert_eq!(f32::from_bits(shape.norm_eps_bits), 1e-5);
    assert_eq!(model.rope, Rope::Interleaved);
    // The end of text is an end token by its name, though the metadata speaks of the end of a turn only.
    assert_eq!(model.end_tokens, [0, 2]);
    assert!(model.head.is_none());
    let manifest = model.manifest().expect("from a file");
    assert_eq!(
        (manifest.bos_token, manifest.eos_token, manifest.tied_head),
        (Some(1), Some(2), true)
    );
    assert_eq!(manifest.name, "synthetic");
}

fn family(family: &Family) -> Builder {
    let builder = family_checkpoint(family, Sizes { layers: 7, ..SMALL });
    match family.name {
        "gemma3" => builder.u32("gemma3.attention.sliding_window", 5),
        _ => builder,
    }
}

#[test]
fn roots_of_the_families_are_the_recorded_ones() {
    let root = |of| hex(convert(&family(of)).root());
    expect!["31cc531509c2ad0c2b4a1a59660b73a34f900dd9099de75549ceee11b51f0dcd"]
        .assert_eq(&root(&QWEN2));
    expect!["086b3669ae7a017080f77457a57e7e51d0bb063d76129e53506437f8b7693a2d"]
        .assert_eq(&root(&QWEN3));
    expect!["02f4bade7c51e2ad086a7b9e0fffda1c909c370c6b8cf2e669cfec1b97f8432b"]
        .assert_eq(&root(&GEMMA3));
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "an independent value to compare with"
)]
fn families_say_what_their_blocks_are_made_of() {
    let qwen2 = convert(&family(&QWEN2));
    assert!(qwen2.blocks.qkv_bias && !qwen2.blocks.qk_norm);
    assert_eq!(qwen2.rope, Rope::HalfSplit);
    let layer = &qwen2.layers[6];
    let lens = [&layer.q_bias, &layer.k_bias, &layer.v_bias].map(Vec::len);
    assert_eq!(lens, [32, 16, 16]);

    let qwen3 = convert(&family(&QWEN3));
    assert!(qwen3.blocks.qk_norm && !qwen3.blocks.qkv_bias);
    assert_eq!((qwen3.shape.head_dim, qwen3.layers[0].q.rows()), (24, 48));
    assert_eq!(qwen3.layers[6].k_norm.len(), 24);

    let gemma3 = convert(&family(&GEMMA3));
    let blocks = &gemma3.blocks;
    assert!(blocks.qk_norm && blocks.post_norms);
    assert_eq!(blocks.activation, Activation::GeluTanh);
    assert_eq!(
        blocks.embedding_scale_bits,
        Some(f32z::sqrt(32.0).to_bits())
    );
    assert_eq!(
        blocks.window,
        Some(Window {
            tokens: 5,
            global_every: 6
        })
    );
    let local: Vec<bool> = (0..7).map(|layer| blocks.is_local(layer)).collect();
    assert_eq!(local, [true, true, true, true, true, false, true]);
    // Without a base of their own the windowed layers turn faster than those that see everything.
    assert_eq!(gemma3.local_cos.len(), gemma3.rope_cos.len());
    let slower = convert(&family(&GEMMA3).f32("gemma3.rope.freq_base", 1e6));
    assert_eq!(slower.local_cos, gemma3.local_cos);
    assert_ne!(slower.rope_cos, gemma3.rope_cos);
    let scaled = convert(
        &family(&GEMMA3)
            .text("gemma3.rope.scaling.type", "linear")
            .f32("gemma3.rope.scaling.factor", 8.0),
    );
    let pairs = scaled.shape.head_dim / 2;
    let angle = f64::from(scaled.rope_sin[pairs]).asin();
    assert!((angle - 1.0 / 8.0).abs() < 1e-7);
    assert_eq!(scaled.local_sin, gemma3.local_sin);
}

#[test]
fn every_family_predicts_as_its_source_does_in_plain_floating_point() {
    let window: Vec<u32> = (0..40).map(|i| 3 + i * 7 % 250).collect();
    let llama = checkpoint(Sizes {
        context: 40,
        ..SMALL
    });
    let families = [&QWEN2, &QWEN3, &GEMMA3].map(|of| {
        let key = format!("{}.context_length", of.name);
        family(of).u32(&key, 40)
    });
    for builder in families.into_iter().chain([llama]) {
        let source = builder.build();
        let plain = FloatModel::from_gguf(&source, 2)
            .expect("valid")
            .surprise(&window);
        let model = convert(&builder);
        let ours = surprise(&model, &window, &Options::default()).expect("fits");
        assert_eq!((ours.tokens, plain.tokens), (39, 39));
        let ratio = ours.perplexity() / plain.perplexity();
        assert!(
            (ratio - 1.0).abs() < 0.03,
            "{:?}: {ours:?}, {plain:?}",
            model.blocks
        );
    }
}

#[test]
fn a_family_with_what_another_has_is_refused() {
    let with_bias = Family {
        qkv_bias: true,
        ..QWEN3
    };
    refused(
        &family(&with_bias),
        "tensor \"blk.0.attn_k.bias\" is not known and might change the results; this checkpoint cannot be converted yet",
    );
    let without_bias = Family {
        qkv_bias: false,
        ..QWEN2
    };
    refused(
        &family(&without_bias),
        "tensor \"blk.0.attn_q.bias\" is missing; fetch the file again",
    );
    refused(
        &family_checkpoint(&GEMMA3, SMALL),
        "metadata key \"gemma3.attention.sliding_window\" is missing",
    );
    refused(
        &family_checkpoint(&GEMMA3, SMALL).u32("gemma3.attention.sliding_window", 4),
        "checkpoint cannot be a model: layers from one that sees everything to the next is 6, expected 2 to 2",
    );
    refused(
        &family(&QWEN2).u32("qwen2.attention.sliding_window", 4),
        "metadata key \"qwen2.attention.sliding_window\" is not known and might change the results; this checkpoint cannot be converted yet",
    );
    refused(
        &family(&GEMMA3).f32("gemma3.rope.freq_base", 1.0),
        "rotation base 1 is not a number above 1",
    );
    refused(
        &family(&GEMMA3)
            .text("gemma3.rope.scaling.type", "linear")
            .f32("gemma3.rope.scaling.factor", 0.5),
        "rotation factor 0.5 is not a number of at least 1",
    );
}

#[test]
fn rows_are_rounded_to_their_largest_value() {
    let rows: Vec<f32> = [
        vec![0.0; 32],
        vec![-2.0; 32],
        (0..32).map(|i| i as f32 * 4.0 + 3.0).collect(),
    ]
    .concat();
    let values: Vec<f32> = rows.into_iter().chain([0.0; 29 * 32]).collect();
    let data = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let model = convert(&tiny_checkpoint().tensor("blk.0.attn_q.weight", &[32, 32], 0, data));
    let q = &model.layers[0].q;
    assert_eq!((q.scales()[0], q.row(0)), (0.0, &[0i8; 32][..]));
    assert_eq!(
        (q.scales()[1], q.row(1)),
        (f32z::div(2.0, 127.0), &[-127i8; 32][..])
    );
    let expected: Vec<i8> = (0..32).map(|i| i * 4 + 3).collect();
    assert_eq!((q.scales()[2], q.row(2)), (1.0, &expected[..]));
}

#[test]
fn halves_round_to_the_even_weight() {
    let mut row = [0.0f32; 32];
    row[..6].copy_from_slice(&[127.0, 0.5, 1.5, 2.5, -0.5, -1.5]);
    let values: Vec<f32> = row.into_iter().chain([0.0; 31 * 32]).collect();
    let data = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let model = convert(&tiny_checkpoint().tensor("blk.0.attn_q.weight", &[32, 32], 0, data));
    assert_eq!(model.layers[0].q.row(0)[..6], [127, 0, 2, 2, 0, -2]);
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "an independent value to compare with"
)]
fn rotation_tables_are_cosines_and_sines_of_the_angles() {
    let model = convert(&checkpoint(Sizes {
        context: 300,
        ..SMALL
    }));
    let pairs = model.shape.head_dim / 2;
    for position in 0..300 {
        for i in 0..pairs {
            let angle =
                position as f64 * 10_000f64.powf(-2.0 * i as f64 / model.shape.head_dim as f64);
            let (cos, sin) = (
                model.rope_cos[position * pairs + i],
                model.rope_sin[position * pairs + i],
            );
            assert!(
                (f64::from(cos) - angle.cos()).abs() < 1e-7
                    && (f64::from(sin) - angle.sin()).abs() < 1e-7
            );
        }
    }
    assert_eq!((model.rope_cos[0], model.rope_sin[0]), (1.0, 0.0));
    assert_eq!(model.rope_sin[0].to_bits(), 0);
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "an independent value to compare with"
)]
fn rotation_factors_slow_their_pairs_down() {
    let factors: Vec<u8> = [1.0f32, 2.0, 4.0, 8.0, 1.0, 1.0, 1.0, 1.0]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let slow = convert(&tiny_checkpoint().tensor("rope_freqs.weight", &[8], 0, factors));
    let plain = convert(&tiny_checkpoint());
    assert_eq!(slow.rope_cos[2 * 8], plain.rope_cos[2 * 8]);
    let angle = 2.0 * 10_000f64.powf(-2.0 / 16.0) / 2.0;
    assert!((f64::from(slow.rope_sin[2 * 8 + 1]) - angle.sin()).abs() < 1e-7);
}

#[test]
fn every_encoding_can_be_converted() {
    let sizes = Sizes {
        layers: 1,
        dim: 256,
        heads: 2,
        kv_heads: 1,
        ff: 256,
        context: 4,
    };
    let blocks = [
        (1, 1, 2),
        (30, 1, 2),
        (2, 32, 18),
        (3, 32, 20),
        (6, 32, 22),
        (7, 32, 24),
        (8, 32, 34),
        (12, 256, 144),
        (13, 256, 176),
        (14, 256, 210),
    ];
    for (data_type, values, bytes) in blocks {
        let mut state = data_type;
        let data = (0..256 * 256 / values * bytes)
            .map(|_| {
                state = u32::wrapping_mul(state, 1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8 & 0xbf
            })
            .collect();
        let model =
            convert(&checkpoint(sizes).tensor("blk.0.ffn_up.weight", &[256, 256], data_type, data));
        let up = &model.layers[0].up;
        assert!(
            (0..256).all(|row| up
                .row(row)
                .iter()
                .any(|weight| weight.unsigned_abs() == 127)),
            "{data_type}"
        );
    }
}

#[test]
fn a_separate_head_is_kept() {
    let builder = tiny_checkpoint();
    let vocab = convert(&builder).shape.vocab as u64;
    let model = convert(&builder.numbers("output.weight", 32, vocab, 9));
    assert_eq!(
        model.head.as_ref().map(|head| (head.rows(), head.cols())),
        Some((vocab as usize, 32))
    );
}

#[test]
fn the_same_source_gives_the_same_bytes() {
    let source = checkpoint(SMALL).build();
    assert!(
        convert_bytes(&source, |_| ()).expect("valid")
            == convert_bytes(&source, |_| ()).expect("valid")
    );
}

#[test]
fn progress_runs_from_nothing_to_everything() {
    let mut seen = Vec::new();
    convert_bytes(&tiny_checkpoint().build(), |progress| {
        seen.push((progress.done, progress.total))
    })
    .expect("valid");
    let total = seen[0].1;
    assert_eq!((seen[0].0, seen[seen.len() - 1]), (0, (total, total)));
    assert!(seen.is_sorted());
}

#[test]
fn what_cannot_be_converted_is_named() {
    let tiny = tiny_checkpoint;
    refused(
        &tiny().text("general.architecture", "falcon"),
        "architecture \"falcon\" cannot be converted; use a checkpoint of one of \"llama\", \"qwen2\", \"qwen3\", \"gemma3\"",
    );
    refused(
        &tiny().without("general.architecture"),
        "metadata key \"general.architecture\" is missing",
    );
    refused(
        &tiny().u32("llama.expert_count", 8),
        "metadata key \"llama.expert_count\" is not known and might change the results; this checkpoint cannot be converted yet",
    );
    refused(
        &tiny().text("llama.rope.scaling.type", "yarn"),
        "\"llama.rope.scaling.type\" is \"yarn\", which cannot be converted yet",
    );
    refused(
        &tiny().f32("llama.rope.freq_base", f32::NAN),
        "rotation base NaN is not a number above 1",
    );
    refused(
        &tiny().u32("llama.rope.dimension_count", 8),
        "metadata key \"llama.rope.dimension_count\" is 8, expected 16",
    );
    refused(
        &tiny().numbers("blk.0.attn_q.bias", 32, 1, 1),
        "tensor \"blk.0.attn_q.bias\" is not known and might change the results; this checkpoint cannot be converted yet",
    );
    // No array is as long as a file says it is.
    for layer in ["1", "4294967296", "18446744073709551615"] {
        let name = format!("blk.{layer}.attn_q.weight");
        refused(
            &tiny().numbers(&name, 32, 32, 1),
            &format!(
                "tensor {name:?} is not known and might change the results; this checkpoint cannot be converted yet"
            ),
        );
    }
    refused(
        &tiny().u32("llama.vocab_size", u32::MAX),
        "metadata key \"llama.vocab_size\" is 4294967295, expected 34",
    );
    refused(
        &tiny().text("general.architecture", "clip"),
        "architecture \"clip\" cannot be converted; use a checkpoint of one of \"llama\", \"qwen2\", \"qwen3\", \"gemma3\"",
    );
    refused(
        &tiny().without_tensor("blk.0.ffn_up.weight"),
        "tensor \"blk.0.ffn_up.weight\" is missing; fetch the file again",
    );
    refused(
        &tiny().numbers("blk.0.ffn_up.weight", 32, 31, 1),
        "tensor \"blk.0.ffn_up.weight\" has 31 rows of 32, expected 32 of 32",
    );
}

#[test]
fn shapes_that_no_engine_could_run_are_refused() {
    let cannot = "checkpoint cannot be a model: ";
    let refused =
        |builder: Builder, message: &str| refused(&builder, &format!("{cannot}{message}"));
    let tiny = tiny_checkpoint;
    refused(
        tiny().u32("llama.block_count", 513),
        "layers is 513, expected 1 to 512",
    );
    refused(
        tiny().u32("llama.block_count", 0),
        "layers is 0, expected 1 to 512",
    );
    refused(
        tiny().u32("llama.attention.head_count", 0),
        "embedding width is 32, not a multiple of 0 (the width must divide evenly)",
    );
    refused(
        tiny().u32("llama.attention.head_count_kv", 0),
        "key heads is 0, expected 1 to 2",
    );
    refused(
        tiny().u32("llama.attention.head_count_kv", 3),
        "key heads is 3, expected 1 to 2",
    );
    refused(
        tiny().u32("llama.attention.key_length", 3),
        "head width is 3, not a multiple of 2 (elements rotate in pairs)",
    );
    refused(
        tiny().u32("llama.feed_forward_length", 133_145),
        "feed-forward width is 133145, expected 1 to 133144",
    );
    refused(
        tiny().u32("llama.embedding_length", u32::MAX - 1),
        "embedding width is 4294967294, expected 1 to 133144",
    );
    refused(
        tiny().u32("llama.context_length", 0),
        "context is 0, expected 1 to 133144",
    );
    refused(
        tiny().f32("llama.attention.layer_norm_rms_epsilon", -1.0),
        "norm epsilon has bits bf800000, not those of a number between 0 and 1",
    );
}

#[test]
fn a_longer_context_than_the_semantics_allow_is_cut() {
    let model = convert(&tiny_checkpoint().u32("llama.context_length", 1 << 30));
    assert_eq!(model.shape.context_max, 133_144);
}

#[test]
fn values_that_are_not_numbers_are_refused() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut values = vec![0.0f32; 32 * 32];
        values[100] = value;
        let data: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let name = "blk.0.attn_q.weight";
        refused(
            &tiny_checkpoint().tensor(name, &[32, 32], 0, data.clone()),
            &format!("tensor {name:?} row 3 holds a value that is not a finite number"),
        );
        refused(
            &tiny_checkpoint().tensor("output_norm.weight", &[32], 0, data[384..512].to_vec()),
            "tensor \"output_norm.weight\" row 0 holds a value that is not a finite number",
        );
    }
}

#[test]
fn spoiled_vocabularies_are_refused() {
    let tokens = vocabulary(b"helow".iter().copied());
    let tiny = || super::builder::checkpoint_of(SMALL, &vocabulary(b"helow ".iter().copied()));
    let refused =
        |builder: Builder, message: &str| refused(&builder, &format!("vocabulary: {message}"));
    refused(
        tiny().text("tokenizer.ggml.model", "t5"),
        "tokenizer \"t5\" cannot be converted yet; use a checkpoint whose tokenizer is \"gpt2\", \"llama\" or \"bert\"",
    );
    refused(
        tiny().text("tokenizer.ggml.pre", "falcon"),
        "pre-tokenizer \"falcon\" cannot be converted yet; \"default\", \"gpt-2\", \"smollm\", \"llama-bpe\", \"qwen2\" and \"deepseek-r1-qwen\" can",
    );
    refused(
        tiny().texts("tokenizer.ggml.tokens", &["a", "b", "a"]),
        "tokens 0 and 2 are the same text",
    );
    refused(
        tiny().texts("tokenizer.ggml.tokens", &["a", ""]),
        "token 1 is 0 bytes long, expected 1 to 1024",
    );
    refused(
        tiny().texts("tokenizer.ggml.tokens", &["a".repeat(1025)]),
        "token 0 is 1025 bytes long, expected 1 to 1024",
    );
    refused(
        tiny().texts::<&str>("tokenizer.ggml.tokens", &[]),
        "0 tokens, expected 1 to 1048576",
    );
    refused(
        tiny().i32s("tokenizer.ggml.token_type", &[3; 5]),
        "5 token types for 15 tokens",
    );
    refused(
        tiny().i32s("tokenizer.ggml.token_type", &[6; 15]),
        "token 0 has type 6, which is not known",
    );
    refused(
        tiny().texts("tokenizer.ggml.merges", &["hello"]),
        "merge 0 does not join two tokens into a third",
    );
    refused(
        tiny().texts("tokenizer.ggml.merges", &["h e", "e h"]),
        "merge 1 does not join two tokens into a third",
    );
    refused(
        tiny().u32("tokenizer.ggml.eos_token_id", 15),
        "\"tokenizer.ggml.eos_token_id\" is token 15, the vocabulary ends at 15",
    );
    refused(
        tiny().text("tokenizer.ggml.eos_token_id", "2"),
        "metadata key \"tokenizer.ggml.eos_token_id\" holds text, expected u32",
    );
    refused(
        tiny().texts("tokenizer.ggml.tokens", &tokens[..3]),
        "15 token types for 3 tokens",
    );
}

#[test]
fn whole_tokens_are_counted() {
    let tokens: Vec<String> = (0..8_193).map(|i| format!("t{i}")).collect();
    let builder = |count: usize| {
        let types = [vec![3; count], vec![1; tokens.len() - count]].concat();
        super::builder::checkpoint_of(SMALL, &tokens)
            .texts::<&str>("tokenizer.ggml.merges", &[])
            .i32s("tokenizer.ggml.token_type", &types)
    };
    assert!(convert_bytes(&builder(8_192).build(), |_| ()).is_ok());
    refused(
        &builder(8_193),
        "vocabulary: 8193 whole tokens, more than the limit of 8192",
    );
}

#[test]
fn a_file_appears_only_when_it_is_whole() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (source, target) = (
        folder.path().join("in.gguf"),
        folder.path().join("out.assay"),
    );
    let entries = || fs::read_dir(folder.path()).expect("folder").count();

    fs::write(&source, tiny_checkpoint().build()).expect("written");
    let root = convert_file(&source, &target, |_| ()).expect("valid");
    assert_eq!(Model::open(&target).expect("whole").root(), root);
    assert_eq!(
        fs::read(&target).expect("there"),
        convert_bytes(&tiny_checkpoint().build(), |_| ())
            .expect("valid")
            .0
    );
    assert_eq!(entries(), 2);

    // The last table fails, after everything before it was written; the older file stays.
    let spoiled = tiny_checkpoint().tensor("output_norm.weight", &[32], 0, vec![0xff; 128]);
    fs::write(&source, spoiled.build()).expect("written");
    assert!(matches!(
        convert_file(&source, &target, |_| ()),
        Err(ImportError::NotFinite { .. })
    ));
    assert_eq!(Model::open(&target).expect("older file").root(), root);
    assert_eq!(entries(), 2);
}

#[test]
fn paths_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let message = |source: &Path, target: &Path| {
        convert_file(source, target, |_| ())
            .expect_err("refused")
            .to_string()
    };
    let missing = folder.path().join("missing.gguf");
    assert_eq!(
        message(&missing, &folder.path().join("out")),
        format!("{}: cannot be read", missing.display())
    );
    assert!(message(folder.path(), &folder.path().join("out")).ends_with("cannot be read"));
    let source = folder.path().join("in.gguf");
    fs::write(&source, tiny_checkpoint().build()).expect("written");
    let nowhere = folder.path().join("no/such/folder/out");
    assert!(message(&source, &nowhere).ends_with("cannot be written; check free space and rights"));
    fs::write(&source, b"").expect("written");
    assert!(
        message(&source, &folder.path().join("out")).starts_with("magic at byte 0 needs 4 bytes")
    );
}
