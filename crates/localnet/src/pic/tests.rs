use std::{io::Write as _, sync::Arc, time::Duration};

use assay_localnet_core::{
    system::SystemPlan,
    topology::Topology,
    types::{ErrorCode, Reject, RejectCode},
};
use axum::{body::Bytes, http::StatusCode};
use flate2::{Compression, write::GzEncoder};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    answer::{Answer, ApiError, parse},
    blobs::Blobs,
    create::FIRST_TIME,
    instances::{self, Instance, Instances},
    operations::Operations,
    plan,
    reject::{CallResult, RejectResponse},
    shapes::{
        AddCycles, CanisterCall, EffectivePrincipal, IngressStatusArgs, InstanceConfig,
        SubnetConfigSet, TickArgs,
    },
};
use crate::{OutcallPolicy, actor::Pace};

fn read<T: DeserializeOwned>(value: &Value) -> T {
    parse(Ok(value.to_string().into())).unwrap()
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.json).unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn requests_of_older_and_newer_clients_are_understood() {
    let config: InstanceConfig = read(&json!({
        "subnet_config_set": {
            "nns": null,
            "application": [{"state_config": "New", "instruction_config": "Production", "dts_flag": "Enabled"}],
            "system": [], "verified_application": [],
        },
        "canister_backtrace": null,
        "icp_features": {"registry": null},
    }));
    assert_eq!(config.subnet_config_set.application.len(), 1);
    assert_eq!(plan::plan(&config.subnet_config_set).unwrap().len(), 1);

    for caller in [json!("BA=="), json!({"principal_id": "BA=="})] {
        let args: IngressStatusArgs = read(&json!({
            "raw_message_id": {"effective_principal": "None", "message_id": ""},
            "raw_caller": caller,
        }));
        assert_eq!(args.raw_caller.unwrap().0, candid::Principal::anonymous());
    }
    let call: CanisterCall = read(&json!({
        "sender": "BA==", "canister_id": "", "method": "m", "payload": "AAEC", "dashboard": true,
        "effective_principal": {"SubnetId": "BA=="},
    }));
    assert_eq!(call.payload.0, [0, 1, 2]);
    assert!(matches!(
        call.effective_principal,
        EffectivePrincipal::SubnetId(_)
    ));
    assert!(read::<TickArgs>(&json!({})).blockmakers.is_none());
    let text = r#"{"canister_id": "BA==", "amount": 340282366920938463463374607431768211455}"#;
    let add: AddCycles = parse(Ok(Bytes::from(text))).unwrap();
    assert_eq!(add.amount, u128::MAX);
}

#[test]
fn requests_that_make_no_sense_are_refused_with_a_message() {
    for text in ["", "{", "[]", r#"{"sender": 7}"#, r#"{"sender": "?"}"#] {
        let error = parse::<CanisterCall>(Ok(Bytes::from(text))).unwrap_err();
        assert_eq!(error.0, StatusCode::BAD_REQUEST);
        let answer = json_of(&error.into());
        assert!(
            answer["message"].as_str().unwrap().contains("JSON"),
            "{answer}"
        );
    }
}

#[test]
fn subnets_are_planned_as_clients_ask_for_them() {
    let plan = |set: Value| {
        let set: SubnetConfigSet = read(&set);
        plan::plan(&set).map(|plan| {
            plan.iter()
                .map(|subnet| subnet.kind.name())
                .collect::<Vec<_>>()
        })
    };
    let spec = json!({"state_config": "New"});
    let all = json!({"nns": spec, "sns": spec, "ii": spec, "fiduciary": spec, "bitcoin": spec,
        "system": [spec], "application": [spec, spec], "verified_application": [spec]});
    assert_eq!(
        plan(all).unwrap(),
        [
            "NNS",
            "SNS",
            "II",
            "fiduciary",
            "bitcoin",
            "system",
            "application",
            "application",
            "verified application"
        ]
    );
    let free = json!({"cost_schedule": "Free", "subnet_admins": [{"principal_id": "BA=="}]});
    assert!(plan(json!({"application": [free], "cloud_engine": [free]})).is_ok());
    for (set, why) in [
        (json!({}), "at least one subnet"),
        (json!({"test_threshold_keys": {}}), "threshold"),
        (
            json!({"nns": {"state_config": {"FromPath": "/state"}}}),
            "saved state",
        ),
        (json!({"system": [free]}), "subnet admins"),
        (
            json!({"system": [{"cost_schedule": "Free"}]}),
            "cost schedule",
        ),
        (
            json!({"application": [{"subnet_admins": []}]}),
            "subnet admins",
        ),
        (json!({"cloud_engine": [{}]}), "CloudEngine"),
    ] {
        let error = plan(set).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_root_subnet_that_nobody_asked_for_is_not_shown() {
    let shown = |set: Value| {
        let set: SubnetConfigSet = read(&set);
        let plan = plan::plan(&set).unwrap();
        let topology = Topology::plan(&instances::seed(), &plan).unwrap();
        json_of(&Answer::of(&plan::describe(&topology)))
    };
    let one = shown(json!({"application": [{}]}));
    let configs = one["subnet_configs"].as_object().unwrap();
    assert_eq!(configs.len(), 1);
    let subnet = configs.values().next().unwrap();
    assert_eq!(subnet["subnet_kind"], "Application");
    assert_eq!(subnet["subnet_admins"], Value::Null);
    assert_eq!(subnet["subnet_seed"].as_array().unwrap().len(), 32);
    assert_eq!(
        subnet["canister_ranges"][0]["start"],
        one["default_effective_canister_id"]
    );
    let two = shown(json!({"nns": {}, "application": [{}]}));
    let kinds: Vec<_> = two["subnet_configs"]
        .as_object()
        .unwrap()
        .values()
        .map(|subnet| subnet["subnet_kind"].as_str().unwrap().to_owned())
        .collect();
    assert!(kinds.contains(&"NNS".to_owned()), "{kinds:?}");
}

#[test]
fn refusals_carry_the_names_of_their_codes() {
    let reject = Reject::of(ErrorCode::CanisterCalledTrap, "why");
    assert_eq!(
        json_of(&Answer::of(&CallResult::new(Err(reject), true))),
        json!({"Err": {"reject_code": "CanisterError", "reject_message": "why",
            "error_code": "CanisterCalledTrap", "certified": true}})
    );
    let bare = Reject {
        code: RejectCode::SysTransient,
        error: None,
        message: String::new(),
    };
    assert_eq!(
        RejectResponse::new(bare, false).error_code,
        "IngressMessageTimeout"
    );
    assert_eq!(
        json_of(&Answer::of(&CallResult::new(Ok(vec![0, 255]), false))),
        json!({"Ok": "AP8="})
    );
}

#[test]
fn blobs_are_kept_by_their_hash_and_their_size_is_limited() {
    let blobs = Blobs::with(1000, 1500);
    let put = |bytes: Vec<u8>, gzip| blobs.put(bytes.into(), gzip);
    let packed = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let id = put(vec![7; 1000], false).unwrap();
    assert_eq!(put(packed(&[7; 1000]), true).unwrap(), id);
    assert_eq!(blobs.get(&id).unwrap(), vec![7; 1000]);
    assert_eq!(blobs.get(&[1; 32]), None);
    assert_eq!(blobs.get(&[1; 3]), None);

    let status = |result: Result<[u8; 32], ApiError>| result.unwrap_err().0;
    assert_eq!(
        status(put(vec![1; 1001], false)),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(
        status(put(packed(&[1; 1001]), true)),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(status(put(vec![1; 100], true)), StatusCode::BAD_REQUEST);
    assert!(put(vec![2; 500], false).is_ok());
    assert_eq!(
        status(put(vec![3; 1], false)),
        StatusCode::INSUFFICIENT_STORAGE
    );
}

#[test]
fn the_number_of_instances_is_limited() {
    let instances = Instances::with(2);
    let instance = || {
        let topology = Arc::new(Topology::new(&instances::seed()));
        let instance = Instance::start(
            topology,
            instances::seed(),
            SystemPlan::none(),
            Pace::OnRequest(FIRST_TIME),
            None,
            None,
            OutcallPolicy::None,
        )
        .unwrap();
        Arc::new(instance)
    };
    let first = instances.reserve().unwrap().put(instance());
    let room = instances.reserve().unwrap();
    assert_eq!(
        instances.reserve().unwrap_err().0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    drop(room);
    let second = instances.reserve().unwrap().put(instance());
    assert!(instances.reserve().is_err());
    assert_eq!((first, second), (0, 1));

    let (_, gone) = instances.remove("0").unwrap();
    block_on(instances::end(gone));
    assert_eq!(instances.states(), ["Deleted", "Available"]);
    assert!(instances.get("0").is_err());
    assert!(instances.get("two").is_err());
    let third = instances.reserve().unwrap().put(instance());
    assert_eq!(third, 2, "numbers are never given twice");
    for instance in instances.drain() {
        block_on(instances::end(instance));
    }
}

#[test]
fn a_long_operation_is_answered_later() {
    block_on(async {
        let operations = Operations::with(Duration::from_millis(10), 2);
        let slow = |millis| async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Ok(Answer::of(&[millis]))
        };
        assert_eq!(json_of(&operations.run(slow(0)).await), json!([0]));

        let started = operations.run(slow(60)).await;
        assert_eq!(started.status, StatusCode::ACCEPTED);
        let started = json_of(&started);
        let label = started["state_label"].as_str().unwrap();
        let id = started["op_id"].as_str().unwrap();
        assert_eq!(operations.read(label, id).status, StatusCode::NOT_FOUND);
        tokio::time::sleep(Duration::from_millis(120)).await;
        for _ in 0..2 {
            let answer = operations.read(label, id);
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(json_of(&answer), json!([60]));
        }
        assert!(operations.prune(label, id).is_ok());
        assert!(operations.prune(label, id).is_err());
        assert_eq!(operations.read("x", id).status, StatusCode::NOT_FOUND);

        // Two may be open; one that has ended makes room for another.
        assert_eq!(operations.run(slow(60)).await.status, StatusCode::ACCEPTED);
        assert_eq!(
            operations.run(slow(10_000)).await.status,
            StatusCode::ACCEPTED
        );
        let third = operations.run(slow(10_000)).await;
        assert_eq!(third.status, StatusCode::SERVICE_UNAVAILABLE);
        tokio::time::sleep(Duration::from_millis(120)).await;
        assert_eq!(
            operations.run(slow(10_000)).await.status,
            StatusCode::ACCEPTED
        );
    });
}
