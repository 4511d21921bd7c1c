//! Snapshots that are written to disk and made from there.

use std::{
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use candid::Principal;
use pocket_ic::PocketIc;
use serde_bytes::ByteBuf;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::harness::{anybody, network, probe, probe_wasm, query, read, tell, user};

const PAGE: usize = 65_536;

/// Every file below a folder, by its path there.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            let below = files(&entry.path()).into_iter();
            found.extend(below.map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        } else {
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    found
}

fn metadata(files: &BTreeMap<String, Vec<u8>>) -> Value {
    serde_json::from_slice(&files["metadata.json"]).unwrap()
}

/// A canister that holds something everywhere, with a snapshot of it.
fn prepared(network: &PocketIc) -> (Principal, Vec<u8>) {
    let id = probe(network);
    tell(network, id, "add", (5u64,)).unwrap();
    // More than one message holds.
    for page in 0..40u64 {
        let bytes = ByteBuf::from(vec![page as u8 + 1; PAGE]);
        tell(network, id, "stable_write", (page * PAGE as u64, bytes)).unwrap();
    }
    for chunk in [&b"one"[..], b"two"] {
        network.upload_chunk(id, None, chunk.to_vec()).unwrap();
    }
    network.stop_canister(id, None).unwrap();
    let snapshot = network.take_canister_snapshot(id, None, None).unwrap();
    (id, snapshot.id)
}

/// What the client says in its last words.
fn failure(work: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(work)).expect_err("it must fail");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap()
}

#[test]
fn a_snapshot_travels_through_a_folder_to_another_network() {
    let here = network();
    let (id, snapshot) = prepared(&here);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/snapshot");
    here.canister_snapshot_download(id, anybody(), snapshot, path.clone());

    let written = files(&path);
    let chunk = |bytes: &[u8]| {
        format!(
            "wasm_chunk_store/{}.bin",
            hex::encode(Sha256::digest(bytes))
        )
    };
    let mut names = vec![
        "metadata.json".to_owned(),
        "stable_memory.bin".to_owned(),
        "wasm_memory.bin".to_owned(),
        "wasm_module.bin".to_owned(),
        chunk(b"one"),
        chunk(b"two"),
    ];
    names.sort_unstable();
    assert_eq!(written.keys().cloned().collect::<Vec<_>>(), names);
    assert!(written["wasm_module.bin"] == probe_wasm());
    let stable = &written["stable_memory.bin"];
    assert!((0..40).all(|page| stable[page * PAGE] == page as u8 + 1));
    assert_eq!(written[&chunk(b"two")], b"two");
    let told = metadata(&written);
    assert_eq!(
        told["source"],
        serde_json::json!({"taken_from_canister": null})
    );
    assert_eq!(told["wasm_memory_size"], written["wasm_memory.bin"].len());
    assert_eq!(told["stable_memory_size"], stable.len());
    assert_eq!(told["global_timer"], "inactive");

    let there = network();
    let copy = probe(&there);
    there.stop_canister(copy, None).unwrap();
    let made = there.canister_snapshot_upload(copy, anybody(), None, path.clone());
    there
        .load_canister_snapshot(copy, None, made.clone())
        .unwrap();
    there.start_canister(copy, None).unwrap();
    assert_eq!(read(&there, copy), 5);
    let last = 39 * PAGE as u64;
    let bytes: ByteBuf = query(&there, copy, "stable_read", (last, 1u64)).unwrap();
    assert_eq!(*bytes, [40]);

    let again = folder.path().join("again");
    there.canister_snapshot_download(copy, anybody(), made.clone(), again.clone());
    let mut back = files(&again);
    assert_eq!(
        metadata(&back)["source"],
        serde_json::json!({"metadata_upload": null})
    );
    back.insert("metadata.json".to_owned(), written["metadata.json"].clone());
    assert!(back == written, "what travels is the same");

    let replacing = there.canister_snapshot_upload(copy, anybody(), Some(made.clone()), path);
    assert_ne!(replacing, made);
    let listed = there.list_canister_snapshots(copy, None).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].id, replacing);
}

#[test]
fn a_live_network_does_so_too() {
    let network = network();
    let (id, snapshot) = prepared(&network);
    network.auto_progress();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    network.canister_snapshot_download(id, anybody(), snapshot.clone(), path.clone());
    let made = network.canister_snapshot_upload(id, anybody(), Some(snapshot), path);
    network.load_canister_snapshot(id, None, made).unwrap();
    network.start_canister(id, None).unwrap();
    assert_eq!(read(&network, id), 5);
}

#[test]
fn what_is_empty_has_no_file() {
    let network = network();
    let id = network.create_canister();
    network.install_canister(id, b"\0asm\x01\0\0\0".to_vec(), Vec::new(), None);
    let snapshot = network.take_canister_snapshot(id, None, None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // An empty folder may be there.
    network.canister_snapshot_download(id, anybody(), snapshot.id, folder.path().to_owned());
    let names: Vec<_> = files(folder.path()).into_keys().collect();
    assert_eq!(names, ["metadata.json", "wasm_module.bin"]);
    network.canister_snapshot_upload(id, anybody(), None, folder.path().to_owned());
    assert_eq!(network.list_canister_snapshots(id, None).unwrap().len(), 2);
}

#[test]
fn what_cannot_be_done_leaves_nothing_behind() {
    let network = network();
    let (id, snapshot) = prepared(&network);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    let download = |sender, snapshot: &[u8], path: &Path| {
        network.canister_snapshot_download(id, sender, snapshot.to_vec(), path.to_owned());
    };
    let strange = failure(|| download(user(1), &snapshot, &path));
    assert!(
        strange.contains("Only controllers of canister"),
        "{strange}"
    );
    let unknown = failure(|| download(anybody(), &[0; 16], &path));
    assert!(
        unknown.contains("read_canister_snapshot_metadata: "),
        "{unknown}"
    );
    assert!(!path.exists(), "what is refused makes no folder");
}

#[test]
fn folders_that_are_no_snapshots_make_none() {
    let network = network();
    let (id, snapshot) = prepared(&network);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    network.canister_snapshot_download(id, anybody(), snapshot.clone(), path.clone());
    let again = failure(|| {
        network.canister_snapshot_download(id, anybody(), snapshot.clone(), path.clone());
    });
    assert!(again.contains("is not empty"), "{again}");

    let upload = |sender| {
        failure(|| {
            network.canister_snapshot_upload(id, sender, None, path.clone());
        })
    };
    let strange = upload(user(1));
    assert!(
        strange.contains("Only controllers of canister"),
        "{strange}"
    );
    let chunk = format!(
        "wasm_chunk_store/{}.bin",
        hex::encode(Sha256::digest(b"two"))
    );
    type Harm = Box<dyn Fn(&Path)>;
    let cases: [(&str, Harm, &str); 6] = [
        (
            "wasm_memory.bin",
            Box::new(|path| fs::write(path, b"short").unwrap()),
            "has 5 bytes, and metadata.json says ",
        ),
        (
            "stable_memory.bin",
            Box::new(|path| fs::remove_file(path).unwrap()),
            "cannot open ",
        ),
        (
            &chunk,
            Box::new(|path| fs::remove_file(path).unwrap()),
            "cannot open ",
        ),
        (
            &chunk,
            Box::new(|path| fs::write(path, vec![0; (1 << 20) + 1]).unwrap()),
            "has more than 1048576 bytes",
        ),
        (
            &chunk,
            Box::new(|path| fs::write(path, b"three").unwrap()),
            "does not hold what its name says",
        ),
        (
            "metadata.json",
            Box::new(|path| fs::write(path, b"{}").unwrap()),
            "is not the metadata of a snapshot: ",
        ),
    ];
    for (name, harm, reason) in cases {
        let file = path.join(name);
        let whole = fs::read(&file).unwrap();
        harm(&file);
        let text = upload(anybody());
        assert!(text.contains(reason), "{name}: {text}");
        let listed = network.list_canister_snapshots(id, None).unwrap();
        assert_eq!(listed.len(), 1, "{name}");
        fs::write(&file, whole).unwrap();
    }
}
