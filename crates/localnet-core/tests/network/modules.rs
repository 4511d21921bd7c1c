//! Compiled modules on disk, and modules that keep their heap.

use assay_localnet_core::{network::NetworkConfig, types::ErrorCode};
use ic_management_canister_types as ic;

use crate::harness::{Net, config, n, wasm};

const ONE: &str = r#"(func (export "canister_query one") (call $reply32 (i32.const 1)))"#;

#[test]
fn compiled_modules_are_kept_on_disk_and_made_again_where_they_are_broken() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("modules");
    let install = || {
        let mut net = Net::with(NetworkConfig {
            module_cache: Some(cache.clone()),
            ..config()
        });
        let id = net.canister(ONE);
        assert_eq!(net.query(id, "one", ""), Ok(n(1)));
        net.network.digest()
    };
    let first = install();
    let files: Vec<_> = std::fs::read_dir(&cache)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    let [file] = &files[..] else {
        panic!("{files:?}")
    };
    let written = std::fs::metadata(file).unwrap().modified().unwrap();
    assert_eq!(install(), first, "from disk");
    assert_eq!(
        std::fs::metadata(file).unwrap().modified().unwrap(),
        written,
        "not compiled again"
    );
    std::fs::write(file, b"broken").unwrap();
    assert_eq!(install(), first, "compiled again");
    assert!(std::fs::metadata(file).unwrap().len() > 1_000);
}

#[cfg(unix)]
#[test]
fn a_folder_that_others_can_write_to_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut net = Net::with(NetworkConfig {
        module_cache: Some(folder.path().to_owned()),
        ..config()
    });
    let id = net.canister(ONE);
    assert_eq!(net.query(id, "one", ""), Ok(n(1)));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_module_that_asks_for_it_keeps_its_heap_over_an_upgrade() {
    let body = r#"
        (@custom "icp:private enhanced-orthogonal-persistence" "")
        (func (export "canister_update set") (i32.store (i32.const 700) (call $arg32)) (call $msg_reply))
        (func (export "canister_query get") (call $reply32 (i32.load (i32.const 700))))"#;
    let mut net = Net::new();
    let id = net.canister(body);
    net.call(id, "set", n(5)).unwrap();
    let upgrade = |persistence| {
        ic::CanisterInstallMode::Upgrade(Some(ic::UpgradeFlags {
            skip_pre_upgrade: None,
            wasm_memory_persistence: persistence,
        }))
    };
    let keep = Some(ic::WasmMemoryPersistence::Keep);
    let reject = net
        .install_code(id, upgrade(None), wasm(body), b"")
        .unwrap_err();
    assert!(
        reject.message.contains("Missing upgrade option"),
        "{}",
        reject.message
    );
    let reject = net
        .install_code(id, upgrade(keep), wasm(ONE), b"")
        .unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::CanisterContractViolation));
    net.install_code(id, upgrade(keep), wasm(body), b"")
        .unwrap();
    assert_eq!(net.query(id, "get", ""), Ok(n(5)));
    net.install_code(
        id,
        upgrade(Some(ic::WasmMemoryPersistence::Replace)),
        wasm(body),
        b"",
    )
    .unwrap();
    assert_eq!(net.query(id, "get", ""), Ok(n(0)));
}
