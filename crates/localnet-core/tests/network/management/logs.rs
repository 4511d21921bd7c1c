//! Reading logs.

use candid::Principal;
use ic_management_canister_types as ic;

use super::{MANAGEMENT, decoded, forward, forwarder, forwarder_module, queries::ask, record, set};
use crate::harness::{Net, stranger, user};

fn fetch(net: &mut Net, who: Principal, id: Principal) -> Result<Vec<(u64, String)>, String> {
    fetch_some(net, who, id, None)
}

fn fetch_some(
    net: &mut Net,
    who: Principal,
    canister_id: Principal,
    filter: Option<ic::CanisterLogFilter>,
) -> Result<Vec<(u64, String)>, String> {
    let arg = ic::FetchCanisterLogsArgs {
        canister_id,
        filter,
    };
    let reply = ask(net, who, "fetch_canister_logs", &arg).map_err(|reject| reject.message)?;
    Ok(decoded::<ic::FetchCanisterLogsResult>(&reply)
        .canister_log_records
        .into_iter()
        .map(|line| (line.idx, String::from_utf8(line.content).unwrap()))
        .collect())
}

#[test]
fn traps_leave_a_line_and_queries_do_not() {
    let mut net = Net::new();
    let id = forwarder(&mut net);
    net.call(id, "print", "one").unwrap();
    net.call(id, "print_and_trap", "two").unwrap_err();
    net.call(id, "print_and_trap", "").unwrap_err();
    net.query(id, "print_and_trap_in_a_query", "three")
        .unwrap_err();
    let texts: Vec<_> = fetch(&mut net, user(), id)
        .unwrap()
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    assert_eq!(
        texts,
        ["one", "two", "[TRAP]: two", "", "[TRAP]: (no message)"]
    );
}

#[test]
fn logs_survive_upgrades_and_nothing_else() {
    let mut net = Net::new();
    let id = forwarder(&mut net);
    net.call(id, "print", "one").unwrap();
    net.install_code(
        id,
        ic::CanisterInstallMode::Upgrade(None),
        forwarder_module(),
        b"",
    )
    .unwrap();
    assert_eq!(fetch(&mut net, user(), id).unwrap(), [(0, "one".into())]);
    net.install_code(
        id,
        ic::CanisterInstallMode::Reinstall,
        forwarder_module(),
        b"",
    )
    .unwrap();
    assert_eq!(fetch(&mut net, user(), id).unwrap(), []);
    net.call(id, "print", "two").unwrap();
    assert_eq!(
        fetch(&mut net, user(), id).unwrap(),
        [(1, "two".into())],
        "numbers go on"
    );
    net.manage("uninstall_code", &record(id)).unwrap();
    assert_eq!(fetch(&mut net, user(), id).unwrap(), []);
}

#[test]
fn logs_are_for_controllers_and_for_those_whom_they_name() {
    let mut net = Net::new();
    let id = forwarder(&mut net);
    let show = |net: &mut Net, log_visibility| {
        let settings = ic::CanisterSettings {
            log_visibility: Some(log_visibility),
            ..Default::default()
        };
        set(net, id, settings).unwrap();
    };
    assert_eq!(
        fetch(&mut net, stranger(), id),
        Err(format!(
            "Caller {} is not allowed to access canister logs",
            stranger()
        ))
    );
    show(
        &mut net,
        ic::LogVisibility::AllowedViewers(vec![stranger()]),
    );
    assert_eq!(fetch(&mut net, stranger(), id), Ok(vec![]));
    assert!(fetch(&mut net, Principal::anonymous(), id).is_err());
    show(&mut net, ic::LogVisibility::Public);
    assert_eq!(fetch(&mut net, Principal::anonymous(), id), Ok(vec![]));
    assert!(
        fetch(&mut net, user(), MANAGEMENT)
            .unwrap_err()
            .contains("not found")
    );
    let (code, message) = forward(&mut net, id, "fetch_canister_logs", &record(id), 0).unwrap_err();
    assert_eq!(
        (code, message.as_str()),
        (
            4,
            "fetch_canister_logs API is only accessible in non-replicated mode"
        )
    );
}

#[test]
fn lines_can_be_picked_by_number_and_time() {
    let mut net = Net::new();
    let id = forwarder(&mut net);
    let mut times = Vec::new();
    for text in ["a", "b", "c"] {
        net.call(id, "print", text).unwrap();
        times.push(net.network.log(&id).last().unwrap().time.0);
    }
    let texts = |net: &mut Net, filter| -> String {
        let lines = fetch_some(net, user(), id, Some(filter)).unwrap();
        lines.into_iter().map(|(_, text)| text).collect()
    };
    let by_idx = |start, end| ic::CanisterLogFilter::ByIdx { start, end };
    let by_time = |start, end| ic::CanisterLogFilter::ByTimestampNanos { start, end };
    assert_eq!(texts(&mut net, by_idx(1, 2)), "b");
    assert_eq!(texts(&mut net, by_idx(1, u64::MAX)), "bc");
    assert_eq!(texts(&mut net, by_idx(2, 1)), "");
    assert_eq!(texts(&mut net, by_time(times[1], times[2])), "b");
    assert_eq!(texts(&mut net, by_time(0, times[1] + 1)), "ab");
}

#[test]
fn the_log_keeps_what_its_limit_allows() {
    let mut net = Net::new();
    let id = forwarder(&mut net);
    let limit = |net: &mut Net, bytes: u64| {
        let settings = ic::CanisterSettings {
            log_memory_limit: Some(bytes.into()),
            ..Default::default()
        };
        set(net, id, settings).unwrap();
    };
    for _ in 0..5 {
        net.call(id, "print", "x".repeat(1_000)).unwrap();
    }
    assert_eq!(
        fetch(&mut net, user(), id).unwrap().len(),
        4,
        "4 × (1000 + 16) fit into 4 KiB"
    );
    limit(&mut net, 10_000);
    for _ in 0..9 {
        net.call(id, "print", "x".repeat(1_000)).unwrap();
    }
    assert_eq!(fetch(&mut net, user(), id).unwrap().len(), 9);
    limit(&mut net, 4_096);
    assert_eq!(fetch(&mut net, user(), id).unwrap().len(), 4);
    limit(&mut net, 0);
    net.call(id, "print", "gone").unwrap();
    assert_eq!(fetch(&mut net, user(), id).unwrap(), []);
}
