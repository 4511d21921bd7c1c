//! The functions, against the interface specification's own table.

use std::collections::BTreeMap;

use wasmtime::{Engine, FuncType, Linker, Store};

use super::{Host, Message, Mode, api, link32, link64};

/// The functions as version 0.66 of the specification and version 1.2 of the crate `ic0` declare them: name, type
/// (`I` is as wide as memory), published instructions of one call, and the contexts that may call them. Contexts are
/// letters of the specification's "Overview of imports"; `*` is all of them but `s`.
const TABLE: &str = "
    msg_arg_data_size                | () -> I            |   500 | I U RQ NRQ TQ CQ Ry CRy F
    msg_arg_data_copy                | (I I I)            |   500 | I U RQ NRQ TQ CQ Ry CRy F
    msg_caller_size                  | () -> I            |   500 | *
    msg_caller_copy                  | (I I I)            |   500 | *
    msg_caller_info_data_size        | () -> I            |   500 | U RQ NRQ CQ Ry Rt CRy CRt C CC F
    msg_caller_info_data_copy        | (I I I)            |   500 | U RQ NRQ CQ Ry Rt CRy CRt C CC F
    msg_caller_info_signer_size      | () -> I            |   500 | U RQ NRQ CQ Ry Rt CRy CRt C CC F
    msg_caller_info_signer_copy      | (I I I)            |   500 | U RQ NRQ CQ Ry Rt CRy CRt C CC F
    msg_reject_code                  | () -> i32          |   500 | Ry Rt CRy CRt C
    msg_reject_msg_size              | () -> I            |   500 | Rt CRt
    msg_reject_msg_copy              | (I I I)            |   500 | Rt CRt
    msg_deadline                     | () -> i64          |   500 | U RQ NRQ CQ Ry Rt CRy CRt
    msg_reply_data_append            | (I I)              |   500 | U RQ NRQ TQ CQ Ry Rt CRy CRt
    msg_reply                        | ()                 |   500 | U RQ NRQ TQ CQ Ry Rt CRy CRt
    msg_reject                       | (I I)              |   500 | U RQ NRQ TQ CQ Ry Rt CRy CRt
    msg_cycles_available128          | (I)                |   500 | U RQ Rt Ry
    msg_cycles_refunded128           | (I)                |   500 | Rt Ry
    msg_cycles_accept128             | (i64 i64 I)        |   500 | U RQ Rt Ry
    cycles_burn128                   | (i64 i64 I)        |   500 | I G U RQ Ry Rt C T
    canister_self_size               | () -> I            |   500 | *
    canister_self_copy               | (I I I)            |   500 | *
    canister_cycle_balance128        | (I)                |   500 | *
    canister_liquid_cycle_balance128 | (I)                |   500 | *
    canister_status                  | () -> i32          |   500 | *
    canister_version                 | () -> i64          |   500 | *
    subnet_self_size                 | () -> I            |   500 | *
    subnet_self_copy                 | (I I I)            |   500 | *
    subnet_self_node_count           | () -> i32          |   500 | *
    msg_method_name_size             | () -> I            |   500 | F
    msg_method_name_copy             | (I I I)            |   500 | F
    accept_message                   | ()                 |   500 | F
    call_new                         | (I I I I I I I I)  |  1500 | U CQ Ry Rt CRy CRt T
    call_on_cleanup                  | (I I)              |   500 | U CQ Ry Rt CRy CRt T
    call_data_append                 | (I I)              |   500 | U CQ Ry Rt CRy CRt T
    call_with_best_effort_response   | (i32)              |   500 | U CQ Ry Rt CRy CRt T
    call_cycles_add128               | (i64 i64)          |   500 | U Ry Rt T
    call_perform                     | () -> i32          |  5000 | U CQ Ry Rt CRy CRt T
    stable64_size                    | () -> i64          |     0 | * s
    stable64_grow                    | (i64) -> i64       |   100 | * s
    stable64_write                   | (i64 i64 i64)      |    20 | * s
    stable64_read                    | (i64 i64 i64)      |    20 | * s
    root_key_size                    | () -> I            |   500 | I G U RQ Ry Rt C T
    root_key_copy                    | (I I I)            |   500 | I G U RQ Ry Rt C T
    certified_data_set               | (I I)              |   500 | I G U Ry Rt T
    data_certificate_present         | () -> i32          |   500 | *
    data_certificate_size            | () -> I            |   500 | NRQ CQ
    data_certificate_copy            | (I I I)            |   500 | NRQ CQ
    time                             | () -> i64          |   500 | *
    global_timer_set                 | (i64) -> i64       |   500 | I G U Ry Rt C T
    performance_counter              | (i32) -> i64       |   200 | * s
    is_controller                    | (I I) -> i32       |  1000 | * s
    in_replicated_execution          | () -> i32          |   500 | * s
    cost_call                        | (i64 i64 I)        |   500 | * s
    cost_create_canister             | (I)                |   500 | * s
    cost_http_request                | (i64 i64 I)        |   500 | * s
    cost_http_request_v2             | (I I I)            | 10000 | * s
    cost_sign_with_ecdsa             | (I I i32 I) -> i32 |   500 | * s
    cost_sign_with_schnorr           | (I I i32 I) -> i32 |   500 | * s
    cost_vetkd_derive_key            | (I I i32 I) -> i32 |   500 | * s
    env_var_count                    | () -> I            |   500 | *
    env_var_name_size                | (I) -> I           |   500 | *
    env_var_name_copy                | (I I I I)          |   500 | *
    env_var_name_exists              | (I I) -> i32       |   500 | *
    env_var_value_size               | (I I) -> I         |   500 | *
    env_var_value_copy               | (I I I I I)        |   500 | *
    debug_print                      | (I I)              |   100 | * s
    trap                             | (I I)              |   500 | * s
";

/// The functions that only modules with a 32-bit memory have.
const NARROW: &str = "
    msg_cycles_available   | () -> i64     | 500 | U RQ Rt Ry
    msg_cycles_accept      | (i64) -> i64  | 500 | U RQ Rt Ry
    msg_cycles_refunded    | () -> i64     | 500 | Rt Ry
    canister_cycle_balance | () -> i64     | 500 | *
    call_cycles_add        | (i64)         | 500 | U Ry Rt T
    stable_size            | () -> i32     |   0 | * s
    stable_grow            | (i32) -> i32  | 100 | * s
    stable_write           | (i32 i32 i32) |  20 | * s
    stable_read            | (i32 i32 i32) |  20 | * s
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

struct Row {
    name: &'static str,
    ty: &'static str,
    cost: u64,
    places: Vec<&'static str>,
}

fn rows(lines: &'static str) -> Vec<Row> {
    let parse = |line: &'static str| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [name, ty, cost, places] = cells[..] else {
            panic!("{line}")
        };
        let places = places.split(' ').flat_map(|place| {
            let all = MODES.iter().map(|(letter, _)| *letter);
            match place {
                "*" => all.filter(|letter| *letter != "s").collect(),
                place => vec![place],
            }
        });
        Row {
            name,
            ty,
            cost: cost.parse().unwrap(),
            places: places.collect(),
        }
    };
    let lines = lines.lines().filter(|line| !line.trim().is_empty());
    lines.map(parse).collect()
}

#[test]
fn every_function_may_be_called_where_the_specification_says_and_nowhere_else() {
    let expected: Vec<_> = rows(TABLE).into_iter().chain(rows(NARROW)).collect();
    assert_eq!(api::ALL.len(), expected.len());
    for Row { name, places, .. } in expected {
        let api = api::ALL.iter().find(|api| api.name == name).unwrap();
        for (letter, modes) in MODES {
            for mode in *modes {
                let message = Message {
                    mode: *mode,
                    ..Message::default()
                };
                let allowed = places.contains(letter);
                assert_eq!(message.allow(api).is_ok(), allowed, "{name} in {letter}");
            }
        }
    }
}

#[test]
fn a_call_costs_what_is_published_before_any_byte() {
    for Row { name, cost, .. } in rows(TABLE).into_iter().chain(rows(NARROW)) {
        let api = api::ALL.iter().find(|api| api.name == name).unwrap();
        assert_eq!(api.cost, cost, "{name}");
    }
}

#[test]
fn each_width_of_memory_has_its_functions_with_their_types() {
    let engine = Engine::default();
    let offered = |link: fn(&mut Linker<Host>) -> wasmtime::Result<()>| {
        let mut linker = Linker::new(&engine);
        link(&mut linker).unwrap();
        let mut store = Store::new(&engine, Host::default());
        let functions: Vec<_> = linker
            .iter(&mut store)
            .map(|(module, name, function)| (module.to_owned(), name.to_owned(), function))
            .collect();
        functions
            .into_iter()
            .map(|(module, name, function)| {
                assert_eq!(module, "ic0");
                let ty = function.ty(&store);
                (name, shown(ty.unwrap_func()))
            })
            .collect::<BTreeMap<_, _>>()
    };
    let expected = |rows: Vec<Row>, wide: &str| -> BTreeMap<_, _> {
        rows.into_iter()
            .map(|row| (row.name.to_owned(), row.ty.replace('I', wide)))
            .collect()
    };
    assert_eq!(offered(link64), expected(rows(TABLE), "i64"));
    let mut narrow = expected(rows(TABLE), "i32");
    narrow.extend(expected(rows(NARROW), "i32"));
    assert_eq!(offered(link32), narrow);
}

/// The type of a function as the table writes it.
fn shown(ty: &FuncType) -> String {
    let params: Vec<_> = ty.params().map(|ty| ty.to_string()).collect();
    let params = params.join(" ");
    match ty.results().next() {
        Some(result) => format!("({params}) -> {result}"),
        None => format!("({params})"),
    }
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
