//! Bodies of requests, through the operations that they ask for.

use std::{cell::RefCell, sync::Arc};

use assay_localnet_core::{
    system::SystemPlan,
    topology::{SubnetKind, SubnetPlan, Topology},
};
use axum::body::Bytes;
use candid::Principal;
use serde::de::DeserializeOwned;

use super::{
    answer::{Answer, ApiError, Outcome, parse, settle},
    calls,
    create::{self, FIRST_TIME},
    instances::{Instance, seed},
    memory, outcalls, plan,
    shapes::{Blob, CanisterCall, EffectivePrincipal, Id, InstanceConfig},
    state, verify,
};
use crate::{OutcallPolicy, actor::Pace};

/// Subnets of which keys are derived here, which takes longest of all.
const SUBNETS_MAX: usize = 2;

thread_local! {
    static RUNTIME: RefCell<Option<(Arc<Topology>, tokio::runtime::Runtime)>> =
        const { RefCell::new(None) };
}

/// Does what a body asks of an instance with one canister. The first line is the address below the instance, or
/// `instances` or `verify_signature`; the rest is the body. Whether it was done; `None` where there is no such address.
///
/// # Panics
/// Where an answer is not of a form that clients understand.
pub fn rest(bytes: &[u8]) -> Option<bool> {
    let at = bytes.iter().position(|byte| *byte == b'\n')?;
    let (address, body) = (std::str::from_utf8(&bytes[..at]).ok()?, &bytes[at + 1..]);
    let outcome = match address {
        "instances" => instances(body),
        "verify_signature" => block_on(verify::verify(Ok(copy(body)))),
        "read/query" => run(body, calls::query),
        "read/ingress_status" => run(body, calls::status),
        "read/get_cycles" => run(body, memory::get_cycles),
        "read/get_stable_memory" => run(body, memory::get_stable),
        "read/get_controllers" => run(body, state::get_controllers),
        "read/get_subnet" => run(body, state::get_subnet),
        "read/pub_key" => run(body, state::pub_key),
        "update/submit_ingress_message" => run(body, submit),
        "update/await_ingress_message" => run(body, calls::wait),
        "update/add_cycles" => run(body, memory::add_cycles),
        "update/set_time" => run(body, state::set_time),
        "update/set_certified_time" => run(body, state::set_certified_time),
        "update/tick" => run(body, state::tick),
        "update/mock_canister_http" => run(body, outcalls::mock),
        _ => return None,
    };
    let done = outcome.is_ok();
    check(&settle(outcome), done);
    Some(done)
}

fn copy(body: &[u8]) -> Bytes {
    Bytes::copy_from_slice(body)
}

/// An answer is `null`, a boolean, an object or an array, and an error is an object with a message.
fn check(answer: &Answer, done: bool) {
    use serde_json::Value;
    let value: Value = serde_json::from_slice(&answer.json).expect("BUG: an answer is no JSON");
    match value {
        Value::Object(fields) => assert!(
            done || fields.get("message").is_some_and(Value::is_string),
            "BUG: an error without a message: {fields:?}"
        ),
        Value::Null | Value::Bool(_) | Value::Array(_) => assert!(done, "BUG: an error is {value}"),
        other => panic!("BUG: clients choke on the answer {other}"),
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    with_runtime(|_, runtime| runtime.block_on(future))
}

fn with_runtime<T>(work: impl FnOnce(&Arc<Topology>, &tokio::runtime::Runtime) -> T) -> T {
    RUNTIME.with_borrow_mut(|made| {
        let (topology, runtime) = made.get_or_insert_with(|| {
            let plan = [SubnetPlan::of(SubnetKind::Application)];
            let topology = Topology::plan(&seed(), &plan).expect("BUG: one subnet cannot be");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a thread can wait");
            (Arc::new(topology), runtime)
        });
        work(topology, runtime)
    })
}

/// An operation on an instance of its own, as the router would call it.
fn run<T, F>(body: &[u8], operation: fn(Arc<Instance>, T) -> F) -> Outcome
where
    T: DeserializeOwned,
    F: Future<Output = Outcome>,
{
    // Most bodies end here, long before there is an instance.
    let args: T = parse(Ok(copy(body)))?;
    with_runtime(|topology, runtime| {
        let pace = Pace::OnRequest(FIRST_TIME);
        let instance = Instance::start(
            topology.clone(),
            seed(),
            SystemPlan::none(),
            pace,
            None,
            None,
            OutcallPolicy::None,
        )
        .expect("a thread can be started");
        let instance = Arc::new(instance);
        runtime.block_on(async {
            let created = calls::submit(instance.clone(), create_canister()).await;
            created.expect("BUG: a canister cannot be created");
            instance
                .network
                .run(|actor| actor.round())
                .await
                .expect("BUG: the instance has ended");
            let outcome = operation(instance.clone(), args).await;
            instance.end();
            outcome
        })
    })
}

/// A call, and rounds until it is answered.
async fn submit(instance: Arc<Instance>, call: CanisterCall) -> Outcome {
    let answer = calls::submit(instance.clone(), call).await?;
    instance
        .network
        .run(|actor| {
            for _ in 0..4 {
                actor.round();
            }
        })
        .await?;
    Ok(answer)
}

fn create_canister() -> CanisterCall {
    CanisterCall {
        sender: Id(Principal::anonymous()),
        canister_id: Id(Principal::management_canister()),
        effective_principal: EffectivePrincipal::None,
        method: "provisional_create_canister_with_cycles".to_owned(),
        // A record without fields: the default cycles, and any id.
        payload: Blob(b"DIDL\x01\x6c\x00\x01\x00".to_vec()),
        sender_info: None,
    }
}

/// Everything about a new instance but its thread.
fn instances(body: &[u8]) -> Outcome {
    let InstanceConfig {
        mut subnet_config_set,
        icp_features,
        initial_time,
        ..
    } = parse(Ok(copy(body)))?;
    create::system(icp_features.unwrap_or_default(), &mut subnet_config_set)?;
    let plan = plan::plan(&subnet_config_set).map_err(ApiError::bad)?;
    create::pace(initial_time, FIRST_TIME)?;
    if plan.len() <= SUBNETS_MAX {
        let topology =
            Topology::plan(&seed(), &plan).map_err(|error| ApiError::bad(error.to_string()))?;
        return Ok(Answer::of(&plan::describe(&topology)));
    }
    Ok(Answer::null())
}
