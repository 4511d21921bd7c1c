//! The functions, against the interface specification's own table.

use std::collections::BTreeMap;

use wasmtime::{Engine, Linker, Store};

use super::{Host, Message, Mode, api, link32, link64};

/// Where each function may be called from, by the letters of the specification's "Overview of imports"; `*` is all of
/// them but `s`. The last two lines are newer than the table, or older.
const PLACES: &str = "
    msg_arg_data_size msg_arg_data_copy: I U RQ NRQ TQ CQ Ry CRy F
    msg_caller_size msg_caller_copy: *
    msg_caller_info_data_size msg_caller_info_data_copy: U RQ NRQ CQ Ry Rt CRy CRt C CC F
    msg_caller_info_signer_size msg_caller_info_signer_copy: U RQ NRQ CQ Ry Rt CRy CRt C CC F
    msg_reject_code: Ry Rt CRy CRt C
    msg_reject_msg_size msg_reject_msg_copy: Rt CRt
    msg_deadline: U RQ NRQ CQ Ry Rt CRy CRt
    msg_reply_data_append msg_reply msg_reject: U RQ NRQ TQ CQ Ry Rt CRy CRt
    msg_cycles_available128 msg_cycles_accept128: U RQ Rt Ry
    msg_cycles_refunded128: Rt Ry
    cycles_burn128: I G U RQ Ry Rt C T
    canister_self_size canister_self_copy canister_cycle_balance128 canister_liquid_cycle_balance128: *
    canister_status canister_version subnet_self_size subnet_self_copy: *
    msg_method_name_size msg_method_name_copy accept_message: F
    call_new call_on_cleanup call_data_append call_with_best_effort_response call_perform: U CQ Ry Rt CRy CRt T
    call_cycles_add128: U Ry Rt T
    stable64_size stable64_grow stable64_write stable64_read: * s
    root_key_size root_key_copy: I G U RQ Ry Rt C T
    certified_data_set: I G U Ry Rt T
    data_certificate_present: *
    data_certificate_size data_certificate_copy: NRQ CQ
    time: *
    global_timer_set: I G U Ry Rt C T
    performance_counter is_controller in_replicated_execution: * s
    cost_call cost_create_canister cost_http_request: * s
    cost_sign_with_ecdsa cost_sign_with_schnorr cost_vetkd_derive_key: * s
    env_var_count env_var_name_size env_var_name_copy env_var_name_exists env_var_value_size env_var_value_copy: *
    debug_print trap: * s
    subnet_self_node_count: *
    cost_http_request_v2: * s
";

/// The functions that only modules with a 32-bit memory have.
const NARROW: &str = "
    msg_cycles_available msg_cycles_accept: U RQ Rt Ry
    msg_cycles_refunded: Rt Ry
    canister_cycle_balance: *
    call_cycles_add: U Ry Rt T
    stable_size stable_grow stable_write stable_read: * s
";

const MODES: &[(&str, &[Mode])] = &[
    ("I", &[Mode::Init]),
    ("G", &[Mode::PreUpgrade]),
    ("U", &[Mode::Update]),
    ("RQ", &[Mode::ReplicatedQuery]),
    ("NRQ", &[Mode::Query]),
    ("TQ", &[Mode::Transform]),
    ("CQ", &[Mode::CompositeQuery]),
    ("Ry", &[Mode::Reply]),
    ("Rt", &[Mode::Reject]),
    ("CRy", &[Mode::CompositeReply]),
    ("CRt", &[Mode::CompositeReject]),
    ("C", &[Mode::Cleanup]),
    ("CC", &[Mode::CompositeCleanup]),
    ("F", &[Mode::Inspect]),
    ("T", &[Mode::Heartbeat, Mode::GlobalTimer, Mode::LowMemory]),
    ("s", &[Mode::Start]),
];

fn table(lines: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut table = BTreeMap::new();
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        let (names, places) = line.split_once(':').unwrap();
        let places: Vec<_> = places
            .split_whitespace()
            .flat_map(|place| {
                let all = MODES.iter().map(|(letter, _)| *letter);
                match place {
                    "*" => all.filter(|letter| *letter != "s").collect(),
                    place => vec![place],
                }
            })
            .collect();
        for name in names.split_whitespace() {
            assert!(table.insert(name, places.clone()).is_none(), "{name} twice");
        }
    }
    table
}

#[test]
fn every_function_may_be_called_where_the_specification_says_and_nowhere_else() {
    let mut expected = table(PLACES);
    expected.extend(table(NARROW));
    let known: Vec<_> = api::ALL.iter().map(|api| api.name).collect();
    assert_eq!(known.len(), expected.len());
    for api in api::ALL {
        let places = &expected[api.name];
        for (letter, modes) in MODES {
            for mode in *modes {
                let message = Message {
                    mode: *mode,
                    ..Message::default()
                };
                let allowed = places.contains(letter);
                assert_eq!(
                    message.allow(api).is_ok(),
                    allowed,
                    "{} in {letter}",
                    api.name
                );
            }
        }
    }
}

#[test]
fn each_width_of_memory_has_its_functions() {
    let engine = Engine::default();
    let offered = |link: fn(&mut Linker<Host>) -> wasmtime::Result<()>| {
        let mut linker = Linker::new(&engine);
        link(&mut linker).unwrap();
        let mut store = Store::new(&engine, Host::default());
        let mut names: Vec<_> = linker
            .iter(&mut store)
            .map(|(module, name, _)| {
                assert_eq!(module, "ic0");
                name.to_owned()
            })
            .collect();
        names.sort();
        names
    };
    let mut expected: Vec<_> = table(PLACES).into_keys().map(str::to_owned).collect();
    assert_eq!(offered(link64), expected);
    expected.extend(table(NARROW).into_keys().map(str::to_owned));
    expected.sort();
    assert_eq!(offered(link32), expected);
}

#[test]
fn what_the_network_agrees_on_is_told_from_what_it_does_not() {
    for (letter, modes) in MODES {
        let alone = ["NRQ", "TQ", "CQ", "CRy", "CRt", "CC", "F"].contains(letter);
        for mode in *modes {
            assert_eq!(mode.replicated(), !alone, "{letter}");
        }
    }
}
