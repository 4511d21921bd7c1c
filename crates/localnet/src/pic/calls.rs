//! Calls and queries to canisters, by senders that are believed.

use std::sync::Arc;

use assay_localnet_core::{
    cert::RangeForm,
    ingress::{Value, hash_of_map, unsigned_bytes},
    types::{Ingress, IngressStatus, Query, Reject, RequestId, SenderInfo},
};
use axum::http::StatusCode;
use candid::{CandidType, DecoderConfig, Principal, decode_one_with_config};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::{
    answer::{Answer, ApiError, Outcome},
    instances::Instance,
    limits::{AWAIT_LIVE_MAX, AWAIT_ROUNDS_MAX, INGRESS_NANOS},
    plan,
    reject::{CallResult, RejectResponse},
    shapes::{
        Blob, CallInfo, CanisterCall, EffectivePrincipal, Id, IngressStatusArgs, MessageId,
        PrincipalId,
    },
    state::no_subnet,
};
use crate::actor::Actor;

/// Work that is spent on skipping the rest of an argument; a module of two million bytes fits.
const SKIPPING_QUOTA: usize = 20_000_000;

/// Bits for the number of a message since its network was taken up; those above tell how often that was.
const MESSAGE_BITS: u32 = 40;

/// How long the status of a live network's message is not asked for again.
const POLL_INTERVAL: std::time::Duration = std::time::Duration::from_millis(5);

/// What a canister says in the end.
type Replied = Result<Vec<u8>, Reject>;

/// What submitting gives: an id to wait for, or a refusal.
#[derive(serde::Serialize)]
enum Submitted {
    Ok(MessageId),
    Err(RejectResponse),
}

/// A call to the management canister.
#[derive(Clone, Debug)]
pub(super) struct Managed {
    pub(super) sender: Principal,
    /// The canister that it is about.
    pub(super) canister: Principal,
    pub(super) method: String,
    pub(super) args: Vec<u8>,
}

/// Calls the management canister and waits for what it says.
pub(super) async fn manage(instance: Arc<Instance>, call: Managed) -> Result<Replied, ApiError> {
    let Managed {
        sender,
        canister,
        method,
        args,
    } = call;
    let call = CanisterCall {
        sender: Id(sender),
        canister_id: Id(Principal::management_canister()),
        effective_principal: EffectivePrincipal::CanisterId(Id(canister)),
        method,
        payload: Blob(args),
        sender_info: None,
    };
    let asked = instance.clone();
    let submitted = instance
        .network
        .run(move |actor| {
            let message = message(actor, call, canister, asked.next_message());
            let id = message.id;
            actor.submit(message).map(|()| id)
        })
        .await?;
    match submitted {
        Ok(id) => outcome(&instance, id).await,
        Err(reject) => Ok(Err(reject)),
    }
}

/// Takes a call in.
pub(super) async fn submit(instance: Arc<Instance>, call: CanisterCall) -> Outcome {
    let effective = effective_canister(&instance, &call)?;
    let network = instance.network.clone();
    network
        .run(move |actor| {
            let number = (actor.taken_up() << MESSAGE_BITS) + instance.next_message();
            let message = message(actor, call, effective, number);
            let id = message.id;
            Answer::of(&match actor.submit(message) {
                Ok(()) => Submitted::Ok(MessageId {
                    effective_principal: EffectivePrincipal::CanisterId(Id(effective)),
                    message_id: Blob(id.0.to_vec()),
                }),
                Err(reject) => Submitted::Err(RejectResponse::new(reject, false)),
            })
        })
        .await
        .map_err(ApiError::from)
}

/// The call as a user would have sent it now; its number stands for the nonce.
fn message(
    actor: &Actor,
    call: CanisterCall,
    effective_canister: Principal,
    number: u64,
) -> Ingress {
    let CanisterCall {
        sender,
        canister_id,
        effective_principal: _,
        method,
        payload,
        sender_info,
    } = call;
    let info = sender_info.map(info);
    let expiry = actor.network().time().plus_nanos(INGRESS_NANOS);
    let number = number.to_be_bytes();
    let mut content = vec![
        ("request_type", Value::Text("call")),
        ("sender", Value::Bytes(sender.0.as_slice())),
        ("canister_id", Value::Bytes(canister_id.0.as_slice())),
        ("method_name", Value::Text(&method)),
        ("arg", Value::Bytes(&payload.0)),
        ("ingress_expiry", Value::Nat(expiry.0.into())),
        ("nonce", Value::Bytes(&number)),
    ];
    if let Some(info) = &info {
        let fields = vec![
            ("info", Value::Bytes(&info.data)),
            ("signer", Value::Bytes(info.signer.as_slice())),
            ("sig", Value::Bytes(&[])),
        ];
        content.push(("sender_info", Value::Map(fields)));
    }
    let (id, bytes) = (hash_of_map(&content), unsigned_bytes(&content));
    Ingress {
        id: RequestId(id),
        sender: sender.0,
        canister: canister_id.0,
        effective_canister,
        method,
        arg: payload.0,
        info,
        expiry,
        bytes,
    }
}

/// Runs rounds until a message is answered. On a live network rounds run by themselves, and this only waits.
pub(super) async fn wait(instance: Arc<Instance>, message: MessageId) -> Outcome {
    let result = outcome(&instance, request_id(&message)?).await?;
    Ok(Answer::of(&CallResult::new(result, true)))
}

/// What becomes of a message.
async fn outcome(instance: &Instance, id: RequestId) -> Result<Replied, ApiError> {
    let deadline = Instant::now() + AWAIT_LIVE_MAX;
    loop {
        let answered = instance
            .network
            .run(move |actor| answer(actor, &id))
            .await??;
        if let Some(result) = answered {
            return Ok(result);
        }
        if Instant::now() >= deadline {
            return Err(ApiError::bad(format!(
                "Failed to answer to ingress {id} within {} seconds.",
                AWAIT_LIVE_MAX.as_secs()
            )));
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// The answer to a message, after as many rounds as it takes; none yet on a live network.
fn answer(actor: &mut Actor, id: &RequestId) -> Result<Option<Replied>, ApiError> {
    for _ in 0..=AWAIT_ROUNDS_MAX {
        let record = actor.network().status(id).ok_or_else(|| {
            ApiError::bad(format!("there is no ingress message {id} on this network"))
        })?;
        match &record.status {
            IngressStatus::Received | IngressStatus::Processing if actor.is_live() => {
                return Ok(None);
            }
            IngressStatus::Received | IngressStatus::Processing => actor.round(),
            status => {
                return finished(status).map(Some).ok_or_else(|| {
                    ApiError::bad(format!("the answer to ingress {id} is no longer kept"))
                });
            }
        }
    }
    Err(ApiError::bad(format!(
        "Failed to answer to ingress {id} after {AWAIT_ROUNDS_MAX} rounds."
    )))
}

/// What became of a message, if anything; told only to its sender where somebody in particular asks.
pub(super) async fn status(instance: Arc<Instance>, args: IngressStatusArgs) -> Outcome {
    let id = request_id(&args.raw_message_id)?;
    instance
        .network
        .run(move |actor| {
            let Some(record) = actor.network().status(&id) else {
                return Ok(Answer::null());
            };
            if let Some(PrincipalId(caller)) = args.raw_caller
                && caller != record.sender
            {
                return Err(ApiError(
                    StatusCode::FORBIDDEN,
                    "The user tries to access Request ID not signed by the caller.".to_owned(),
                ));
            }
            let result = finished(&record.status).map(|result| CallResult::new(result, true));
            Ok(Answer::of(&result))
        })
        .await?
}

/// An answer that is there.
fn finished(status: &IngressStatus) -> Option<Replied> {
    match status {
        IngressStatus::Received | IngressStatus::Processing | IngressStatus::Done => None,
        IngressStatus::Replied(reply) => Some(Ok(reply.clone())),
        IngressStatus::Rejected(reject) => Some(Err(reject.clone())),
    }
}

/// Answers a query.
pub(super) async fn query(instance: Arc<Instance>, call: CanisterCall) -> Outcome {
    let effective = effective_canister(&instance, &call)?;
    let Some(subnet) = instance
        .topology()
        .subnet_of(&effective)
        .map(|subnet| subnet.id)
    else {
        let reject = not_found(&effective);
        return Ok(Answer::of(&CallResult::new(Err(reject), false)));
    };
    let query = Query {
        sender: call.sender.0,
        canister: call.canister_id.0,
        method: call.method,
        arg: call.payload.0,
        info: call.sender_info.map(info),
    };
    let result = instance
        .network
        .run(move |actor| actor.answer_query(&query, &subnet, RangeForm::Sharded))
        .await?;
    Ok(Answer::of(&CallResult::new(result, false)))
}

fn info(CallInfo { info, signer }: CallInfo) -> Arc<SenderInfo> {
    Arc::new(SenderInfo {
        data: info.0,
        signer: signer.0,
    })
}

/// The canister id that says to which subnet a call goes.
fn effective_canister(instance: &Instance, call: &CanisterCall) -> Result<Principal, ApiError> {
    match &call.effective_principal {
        EffectivePrincipal::CanisterId(Id(id)) => Ok(*id),
        EffectivePrincipal::SubnetId(Id(id)) => instance
            .topology()
            .subnet(id)
            .map(plan::routing_id)
            .ok_or_else(|| no_subnet(id)),
        EffectivePrincipal::None if call.canister_id.0 != Principal::management_canister() => {
            Ok(call.canister_id.0)
        }
        EffectivePrincipal::None => Ok(named_in(&call.method, &call.payload.0)
            .unwrap_or_else(|| instance.topology().default_effective_canister())),
    }
}

/// The canister that an argument of the management canister's names.
fn named_in(method: &str, arg: &[u8]) -> Option<Principal> {
    #[derive(CandidType, Deserialize)]
    struct Create {
        specified_id: Option<Principal>,
    }
    #[derive(CandidType, Deserialize)]
    struct Target {
        target_canister: Principal,
    }
    #[derive(CandidType, Deserialize)]
    struct Canister {
        canister_id: Principal,
    }
    match method {
        "provisional_create_canister_with_cycles" => decode::<Create>(arg)?.specified_id,
        "create_canister" => None,
        "install_chunked_code" => decode::<Target>(arg).map(|arg| arg.target_canister),
        _ => decode::<Canister>(arg).map(|arg| arg.canister_id),
    }
}

fn decode<T: CandidType + for<'de> Deserialize<'de>>(arg: &[u8]) -> Option<T> {
    let mut config = DecoderConfig::new();
    config.set_skipping_quota(SKIPPING_QUOTA);
    decode_one_with_config(arg, &config).ok()
}

fn request_id(message: &MessageId) -> Result<RequestId, ApiError> {
    let bytes = message.message_id.0.as_slice();
    bytes.try_into().map(RequestId).map_err(|_| {
        ApiError::bad(format!(
            "a message id has 32 bytes, and this one has {}",
            bytes.len()
        ))
    })
}

fn not_found(canister: &Principal) -> Reject {
    Reject::of(
        assay_localnet_core::types::ErrorCode::CanisterNotFound,
        format!("Canister {canister} not found"),
    )
}
