//! Answers to queries, signed by a node.

use super::cbor::Writer;
use crate::{
    ingress::{Value, hash_of_map},
    topology::Node,
    types::{Reject, RequestId, Time},
};

const RESPONSE_DOMAIN: &[u8] = b"\x0Bic-response";

/// The response to a query, CBOR: what the canister answered, with a node's signature over it, the query's id and the time.
pub fn sign_answer(
    node: &Node,
    request: &RequestId,
    time: Time,
    answer: &Result<Vec<u8>, Reject>,
) -> Vec<u8> {
    let error_code = answer
        .as_ref()
        .err()
        .and_then(|reject| reject.error)
        .map(|error| error.to_string());
    let mut signed = vec![
        ("request_id", Value::Bytes(&request.0)),
        ("timestamp", Value::Nat(time.0.into())),
    ];
    match answer {
        Ok(reply) => {
            signed.push(("status", Value::Text("replied")));
            signed.push(("reply", Value::Map(vec![("arg", Value::Bytes(reply))])));
        }
        Err(reject) => {
            signed.push(("status", Value::Text("rejected")));
            signed.push(("reject_code", Value::Nat(reject.code as u128)));
            signed.push(("reject_message", Value::Text(&reject.message)));
            signed.extend(
                error_code
                    .iter()
                    .map(|code| ("error_code", Value::Text(code))),
            );
        }
    }
    let signature = node
        .key
        .sign(&[RESPONSE_DOMAIN, &hash_of_map(&signed)].concat());

    let mut out = Writer::self_described();
    match answer {
        Ok(reply) => {
            out.map(3).text("status").text("replied");
            out.text("reply").map(1).text("arg").bytes(reply);
        }
        Err(reject) => {
            out.map(4 + usize::from(error_code.is_some()))
                .text("status")
                .text("rejected");
            write_reject(&mut out, reject);
        }
    }
    out.text("signatures").array(1).map(3);
    out.text("timestamp")
        .nat(time.0)
        .text("signature")
        .bytes(&signature)
        .text("identity")
        .bytes(node.id.as_slice());
    out.finish()
}

/// The response to a call that the network refuses without executing it, CBOR. The synchronous endpoints name a status.
pub fn encode_refusal(reject: &Reject, with_status: bool) -> Vec<u8> {
    let mut out = Writer::self_described();
    out.map(2 + usize::from(reject.error.is_some()) + usize::from(with_status));
    if with_status {
        out.text("status").text("non_replicated_rejection");
    }
    write_reject(&mut out, reject);
    out.finish()
}

/// Two pairs of a map, or three where the precise error is known.
fn write_reject(out: &mut Writer, reject: &Reject) {
    out.text("reject_code")
        .nat(reject.code as u64)
        .text("reject_message")
        .text(&reject.message);
    if let Some(error) = reject.error {
        out.text("error_code").text(&error.to_string());
    }
}
