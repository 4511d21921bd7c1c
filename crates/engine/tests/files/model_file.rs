//! Model files: what is written is what is opened, and nothing else is opened.

use std::fs;

use assay_engine::{
    import::convert_bytes,
    model::{
        Manifest, ManifestError, Model, ModelError, Shape,
        manifest::{
            CONTEXT_MAX, END_TOKENS_MAX, HEADS_MAX, LAYERS_MAX, MANIFEST_BYTES_MAX, NAME_BYTES_MAX,
            ROTATIONS_MAX, VOCAB_MAX,
        },
        root::Hashes,
    },
};

use super::builder::{SMALL, checkpoint, tiny_checkpoint};

fn file() -> Vec<u8> {
    convert_bytes(&tiny_checkpoint().build(), |_| ())
        .expect("valid checkpoint")
        .0
}

fn header_len(file: &[u8]) -> usize {
    8 + u64::from_le_bytes(file[..8].try_into().expect("eight bytes")) as usize
}

fn refused(file: Vec<u8>, message: &str) {
    assert_eq!(
        Model::from_bytes(file)
            .expect_err("spoiled file was opened")
            .to_string(),
        message
    );
}

/// The file with one text in its header replaced by another of the same length.
fn edited(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut file = file();
    let at = file
        .windows(from.len())
        .position(|window| window == from.as_bytes())
        .expect("text is in the header");
    file[at..at + to.len()].copy_from_slice(to.as_bytes());
    file
}

#[test]
fn an_opened_file_is_written_back_to_the_same_bytes() {
    let (file, root) = convert_bytes(&checkpoint(SMALL).build(), |_| ()).expect("valid checkpoint");
    let model = Model::from_bytes(file.clone()).expect("valid");
    assert_eq!(model.root(), root);
    assert!(model.to_bytes().expect("has a manifest") == file);
    assert!(model.verify().is_ok());

    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("model.assay");
    fs::write(&path, &file).expect("written");
    let mapped = Model::open(&path).expect("valid");
    assert_eq!(mapped.root(), root);
    assert_eq!(mapped.embedding.weights(), model.embedding.weights());
    assert_eq!(mapped.rope_cos, model.rope_cos);

    let copy = folder.path().join("copy.assay");
    mapped.save(&copy).expect("written");
    assert!(fs::read(&copy).expect("there") == file);
    assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 2);
}

#[test]
fn other_programs_can_read_the_file_as_safetensors() {
    let file = file();
    let tensors = safetensors::SafeTensors::deserialize(&file).expect("safetensors");
    let embedding = tensors.tensor("embedding.weight").expect("there");
    assert_eq!(
        (embedding.dtype(), embedding.shape()),
        (safetensors::Dtype::I8, &[34, 32][..])
    );
    assert_eq!(
        tensors.tensor("embedding.scale").expect("there").shape(),
        [34]
    );
    assert_eq!(tensors.tensor("rope.sin").expect("there").shape(), [8, 8]);
    assert_eq!(tensors.tensor("final_norm").expect("there").shape(), [32]);
    assert!(
        tensors
            .tensor("tokenizer")
            .expect("there")
            .data()
            .starts_with(b"{\"version\":\"1.0\"")
    );
    assert_eq!(header_len(&file) % 64, 0);
}

/// The root by its written definition, from the file's bytes alone.
#[test]
fn the_root_is_the_tree_that_the_documentation_draws() {
    fn tree(hashes: &Hashes, leaves: &[[u8; 32]]) -> [u8; 32] {
        if let [leaf] = leaves {
            return *leaf;
        }
        let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
        hashes.node(&tree(hashes, left), &tree(hashes, right))
    }
    let file = file();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&file).expect("safetensors");
    let texts = metadata.metadata().as_ref().expect("there");
    let tensors = safetensors::SafeTensors::deserialize(&file).expect("safetensors");
    let bytes = |name: &str| tensors.tensor(name).expect("there").data();
    let hashes = Hashes::default();

    let mut leaves = vec![hashes.manifest(&texts["manifest"])];
    let parts = ["q", "k", "v", "o", "gate", "up", "down"].map(|part| format!("layers.0.{part}"));
    for name in ["embedding".to_owned()].iter().chain(&parts) {
        let scales: Vec<f32> = bytes(&format!("{name}.scale"))
            .chunks_exact(4)
            .map(|word| f32::from_le_bytes(word.try_into().expect("four bytes")))
            .collect();
        let weights = bytes(&format!("{name}.weight"));
        let cols = weights.len() / scales.len();
        let rows: Vec<_> = weights
            .chunks_exact(cols)
            .zip(&scales)
            .map(|(row, scale)| hashes.weight_row(row, *scale))
            .collect();
        leaves.push(hashes.tensor(name, rows.len() as u64, cols as u64, &tree(&hashes, &rows)));
    }
    let tables = [
        "layers.0.attn_norm",
        "layers.0.ffn_norm",
        "final_norm",
        "rope.cos",
        "rope.sin",
    ];
    for (name, cols) in tables.into_iter().zip([32, 32, 32, 8, 8]) {
        let rows: Vec<_> = bytes(name)
            .chunks_exact(4 * cols)
            .map(|row| hashes.table_row(row))
            .collect();
        leaves.push(hashes.tensor(name, rows.len() as u64, cols as u64, &tree(&hashes, &rows)));
    }
    assert_eq!(
        tree(&hashes, &leaves),
        Model::from_bytes(file.clone()).expect("valid").root()
    );
}

#[test]
fn a_model_made_in_memory_has_no_file() {
    let model = Model::tiny(1);
    assert!(matches!(model.verify(), Err(ModelError::NoManifest { .. })));
    assert!(model.to_bytes().is_err() && model.manifest().is_none());
}

#[test]
fn a_file_of_another_length_is_refused() {
    let file = file();
    let longer = [&file[..], &[0]].concat();
    let (len, place) = (file.len(), "model bytes");
    refused(
        longer,
        &format!(
            "{place}: is {} bytes long, expected {len}; convert the model again",
            len + 1
        ),
    );
    refused(
        file[..len - 1].to_vec(),
        &format!(
            "{place}: is {} bytes long, expected {len}; convert the model again",
            len - 1
        ),
    );
    refused(
        vec![],
        &format!("{place}: ends after 0 bytes, before its header does; convert the model again"),
    );
    refused(
        file[..100].to_vec(),
        &format!("{place}: ends after 100 bytes, before its header does; convert the model again"),
    );
}

#[test]
fn a_header_is_bounded_before_it_is_read() {
    let max = 2 << 20;
    for len in [max + 1, u64::MAX, 1 << 62] {
        let file = [&len.to_le_bytes()[..], &[b' '; 64]].concat();
        let message = "this is not a model file of ours";
        refused(
            file,
            &format!(
                "model bytes: header is {len} bytes long, more than the limit of {max}; {message}"
            ),
        );
    }
    let spaces = [&max.to_le_bytes()[..], &vec![b' '; max as usize]].concat();
    assert!(matches!(
        Model::from_bytes(spaces),
        Err(ModelError::HeaderSyntax { .. })
    ));
    let deep = [&5000u64.to_le_bytes()[..], &[b'['; 5000]].concat();
    assert!(matches!(
        Model::from_bytes(deep),
        Err(ModelError::HeaderSyntax { .. })
    ));
}

#[test]
fn a_missing_file_is_named() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("missing.assay");
    let message = Model::open(&path).expect_err("missing").to_string();
    assert_eq!(message, format!("{}: cannot be opened", path.display()));
    assert!(matches!(
        Model::open(folder.path()),
        Err(ModelError::Open { .. })
    ));
}

#[test]
fn a_header_must_be_the_one_its_manifest_calls_for() {
    let differs =
        "model bytes: header is not the one that its manifest calls for; convert the model again";
    refused(
        edited(
            "\"dtype\":\"I8\",\"shape\":[34,32]",
            "\"dtype\":\"I8\",\"shape\":[32,34]",
        ),
        differs,
    );
    refused(
        edited("\"layers.0.q.weight\"", "\"layers.0.x.weight\""),
        differs,
    );
    refused(edited("\"dtype\":\"U8\"", "\"dtype\":\"I8\""), differs);
    // A manifest that differs calls for another root, even when the header fits.
    let error = Model::from_bytes(edited("synthetic", "Synthetic")).expect_err("another manifest");
    assert!(matches!(error, ModelError::Root { .. }), "{error}");
    let error = Model::from_bytes(edited(
        "\\\"end_tokens\\\":[0,2]",
        "\\\"end_tokens\\\":[1,2]",
    ))
    .expect_err("another manifest");
    assert!(matches!(error, ModelError::Root { .. }), "{error}");
    let error = Model::from_bytes(edited("\"spec\\\":\\\"CIS-1", "\"spec\\\":\\\"CIS-9"))
        .expect_err("another spec");
    assert!(error.to_string().ends_with(
        "model follows \"CIS-9\", this engine \"CIS-1\"; use an engine of that version"
    ));
    let error = Model::from_bytes(edited("\\\"layers\\\":1,", "\\\"layers\\\":9,"))
        .expect_err("another shape");
    assert!(matches!(error, ModelError::Header { .. }), "{error}");
}

#[test]
fn numbers_outside_the_semantics_are_named() {
    let file = file();
    let data = header_len(&file);
    let tensors = safetensors::SafeTensors::deserialize(&file).expect("safetensors");
    let begin = |name: &str| {
        let view = tensors.tensor(name).expect("there");
        view.data().as_ptr() as usize - file.as_ptr() as usize
    };
    let patched = |at: usize, bytes: &[u8]| {
        let mut file = file.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    assert_eq!(begin("embedding.weight"), data);
    refused(
        patched(begin("layers.0.q.weight") + 5 * 32 + 3, &[0x80]),
        "model bytes: tensor layers.0.q row 5 holds the weight -128, which is not allowed; convert the model again",
    );
    for scale in [-1.0, f32::NAN, f32::INFINITY, -0.0, f32::MIN_POSITIVE, 1e38] {
        refused(
            patched(begin("layers.0.q.scale") + 4 * 7, &scale.to_le_bytes()),
            "model bytes: tensor layers.0.q row 7 has a scale that is not allowed; convert the model again",
        );
    }
    for value in [f32::NAN, -0.0, 1e38, -1.5, 1.5] {
        refused(
            patched(begin("rope.cos") + 4 * 8 * 6, &value.to_le_bytes()),
            "model bytes: tensor rope.cos row 6 holds a number that is not allowed; convert the model again",
        );
    }
    refused(
        patched(begin("final_norm"), &f32::NAN.to_le_bytes()),
        "model bytes: tensor final_norm row 0 holds a number that is not allowed; convert the model again",
    );
    refused(
        patched(begin("tokenizer") + 9, b"x"),
        "model bytes: tokenizer does not have the SHA-256 in the manifest; convert the model again",
    );
    refused(
        patched(begin("chat_template") + 1, b"x"),
        "model bytes: chat template does not have the SHA-256 in the manifest; convert the model again",
    );
}

#[test]
fn a_model_changed_in_memory_no_longer_verifies() {
    let mut model = Model::from_bytes(file()).expect("valid");
    model.final_norm[3] = 0.25;
    assert!(matches!(model.verify(), Err(ModelError::Root { .. })));
}

fn shape() -> Shape {
    Model::tiny(1).shape
}

#[test]
fn shapes_are_accepted_up_to_their_limits() {
    assert_eq!(shape().check(), Ok(()));
    type Set = fn(&mut Shape, usize);
    let fields: [(&str, usize, usize, Set); 8] = [
        ("layers", 1, LAYERS_MAX, |shape, value| shape.layers = value),
        ("embedding width", 1, 133_144, |shape, value| {
            shape.dim = value
        }),
        ("feed-forward width", 1, 133_144, |shape, value| {
            shape.ff = value
        }),
        ("vocabulary", 1, VOCAB_MAX, |shape, value| {
            shape.vocab = value
        }),
        ("context", 1, CONTEXT_MAX, |shape, value| {
            shape.context_max = value
        }),
        ("heads", 1, HEADS_MAX, |shape, value| {
            (shape.heads, shape.kv_heads) = (value, value.clamp(1, 1024))
        }),
        ("key heads", 1, 6, |shape, value| shape.kv_heads = value),
        ("head width", 2, 1024, |shape, value| shape.head_dim = value),
    ];
    for (field, min, max, set) in fields {
        let check = |value| {
            let mut shape = shape();
            set(&mut shape, value);
            shape.check()
        };
        assert_eq!((check(min), check(max)), (Ok(()), Ok(())), "{field}");
        for found in [min - 1, max + 1, usize::MAX] {
            let (min, max) = (min as u64, max as u64);
            assert_eq!(
                check(found),
                Err(ManifestError::Range {
                    field,
                    found: found as u64,
                    min,
                    max
                })
            );
        }
    }
    let wide = Shape {
        heads: 1024,
        kv_heads: 1024,
        head_dim: 132,
        ..shape()
    };
    let range = ManifestError::Range {
        field: "width of all heads",
        found: 135_168,
        min: 2,
        max: 133_144,
    };
    assert_eq!(wide.check(), Err(range));
    assert_eq!(
        Shape {
            head_dim: 130,
            ..wide
        }
        .check(),
        Ok(())
    );
    let tables = |context_max: usize| {
        Shape {
            head_dim: 512,
            context_max,
            ..shape()
        }
        .check()
    };
    assert_eq!(tables(ROTATIONS_MAX / 256), Ok(()));
    let found = 256 * (ROTATIONS_MAX / 256 + 1) as u64;
    let (field, max) = ("rotation table", ROTATIONS_MAX as u64);
    let range = ManifestError::Range {
        field,
        found,
        min: 1,
        max,
    };
    assert_eq!(tables(ROTATIONS_MAX / 256 + 1), Err(range));
    for bits in [0, 0x8000_0000, 0x3f80_0000, 0x7fc0_0000, 0x0d7f_ffff] {
        assert_eq!(
            Shape {
                norm_eps_bits: bits,
                ..shape()
            }
            .check(),
            Err(ManifestError::Epsilon { found: bits })
        );
    }
}

#[test]
fn manifests_are_accepted_up_to_their_limits_and_in_one_spelling() {
    let model = Model::from_bytes(file()).expect("valid");
    let manifest = model.manifest().expect("from a file");
    let text = manifest.to_text();
    assert_eq!(Manifest::parse(&text).as_ref(), Ok(manifest));
    assert_eq!(
        Manifest::parse(&format!("{text} ")),
        Err(ManifestError::NotCanonical)
    );
    assert_eq!(
        Manifest::parse(&text.replace("{\"spec\"", "{ \"spec\"")),
        Err(ManifestError::NotCanonical)
    );
    assert!(matches!(
        Manifest::parse(&text.replace("\"spec\"", "\"more\":1,\"spec\"")),
        Err(ManifestError::Syntax { .. })
    ));
    assert!(matches!(
        Manifest::parse(&text.replace("W8", "W9")),
        Err(ManifestError::Syntax { .. })
    ));
    let spaces = |len: usize| format!("{text}{}", " ".repeat(len - text.len()));
    assert_eq!(
        Manifest::parse(&spaces(MANIFEST_BYTES_MAX)),
        Err(ManifestError::NotCanonical)
    );
    assert!(matches!(
        Manifest::parse(&spaces(MANIFEST_BYTES_MAX + 1)),
        Err(ManifestError::Length { .. })
    ));

    let named = |len: usize| {
        Manifest {
            name: "n".repeat(len),
            ..manifest.clone()
        }
        .check()
    };
    assert_eq!(named(NAME_BYTES_MAX), Ok(()));
    assert!(matches!(
        named(NAME_BYTES_MAX + 1),
        Err(ManifestError::Text { field: "name", .. })
    ));

    let ends = |end_tokens: Vec<u32>| {
        let mut manifest = Manifest {
            end_tokens,
            ..manifest.clone()
        };
        manifest.shape.vocab = 100;
        manifest.check()
    };
    assert_eq!(ends((0..END_TOKENS_MAX as u32).collect()), Ok(()));
    assert!(matches!(
        ends((0..=END_TOKENS_MAX as u32).collect()),
        Err(ManifestError::Range { .. })
    ));
    assert_eq!(ends(vec![2, 2]), Err(ManifestError::EndTokenOrder));
    assert_eq!(ends(vec![99]), Ok(()));
    assert!(matches!(
        ends(vec![100]),
        Err(ManifestError::Token { found: 100, .. })
    ));
}
