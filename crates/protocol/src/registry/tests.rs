use expect_test::expect;

use super::*;

fn manifest() -> ModelManifest {
    ModelManifest {
        name: "tiny".to_owned(),
        architecture: "llama".to_owned(),
        semantics: SPEC_CIS_1.to_owned(),
        files: vec![ModelFile {
            name: "tiny.gguf".to_owned(),
            bytes: 7,
            sha256: Hash32([1; 32]),
            urls: vec!["https://example.org/a".to_owned()],
        }],
        model_root: Hash32([2; 32]),
        tokenizer_sha256: Hash32([3; 32]),
        template_sha256: Hash32([4; 32]),
        context_max: 512,
        license: "Apache-2.0".to_owned(),
        royalty_bps: 100,
        verifiable: true,
    }
}

#[test]
fn the_id_of_a_manifest_is_pinned() {
    expect!["09a47743d3bf152c51e69b9d15703f1bbc8e80fe61576ad174bd5fadde77e696"]
        .assert_eq(&manifest().id().to_string());
    expect!["032dd76934757d5f585f794b836d0f243ba992be3eb3362ab44906df6042de8a"]
        .assert_eq(&manifest().class().to_string());
}

#[test]
fn every_field_of_a_manifest_counts() {
    type Change = fn(&mut ModelManifest);
    let changes: &[Change] = &[
        |manifest| manifest.name.push('x'),
        |manifest| manifest.architecture.push('x'),
        |manifest| manifest.semantics.push('x'),
        |manifest| manifest.files.clear(),
        |manifest| manifest.files.push(manifest.files[0].clone()),
        |manifest| manifest.files[0].name.push('x'),
        |manifest| manifest.files[0].bytes += 1,
        |manifest| manifest.files[0].sha256.0[31] ^= 1,
        |manifest| manifest.files[0].urls.clear(),
        |manifest| manifest.files[0].urls[0].push('x'),
        |manifest| manifest.model_root.0[0] ^= 1,
        |manifest| manifest.tokenizer_sha256.0[0] ^= 1,
        |manifest| manifest.template_sha256.0[0] ^= 1,
        |manifest| manifest.context_max += 1,
        |manifest| manifest.license.push('x'),
        |manifest| manifest.royalty_bps += 1,
        |manifest| manifest.verifiable = false,
    ];
    let mut ids = vec![manifest().id()];
    for (i, change) in changes.iter().enumerate() {
        let mut changed = manifest();
        change(&mut changed);
        assert!(
            !ids.contains(&changed.id()),
            "change {i} gives an id that is there already"
        );
        assert_ne!(
            changed.class(),
            manifest().class(),
            "change {i} stays in the class"
        );
        ids.push(changed.id());
    }
}

#[test]
fn text_that_moves_from_one_field_to_the_next_changes_the_id() {
    let mut moved = manifest();
    moved.name = "tin".to_owned();
    moved.architecture = "yllama".to_owned();
    assert_ne!(moved.id(), manifest().id());

    // An address of the first file is not the name of a second one.
    let mut one = manifest();
    one.files[0].urls.push("b".to_owned());
    let mut two = manifest();
    two.files.push(ModelFile {
        name: "b".to_owned(),
        ..manifest().files[0].clone()
    });
    assert_ne!(one.id(), two.id());
}

#[test]
fn errors_name_the_thing_and_the_next_step() {
    let caller = Principal::from_slice(&[1]);
    let text = |error: RegistryError| error.to_string();
    expect!["uuc56-gyb is not a provider; call register_provider first"]
        .assert_eq(&text(RegistryError::NotAProvider { caller }));
    expect!["context_max: is 0, 1 to 131072 are allowed"].assert_eq(&text(
        RegistryError::Invalid {
            field: "context_max".to_owned(),
            problem: "is 0, 1 to 131072 are allowed".to_owned(),
        },
    ));
    expect!["limit reached: models, at most 10000"].assert_eq(&text(RegistryError::Full {
        what: "models".to_owned(),
        max: 10_000,
    }));
}
