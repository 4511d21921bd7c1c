//! Where calls go when they are made, and where answers go when they are given.

use candid::Principal;

use super::refusals::{bounded, did_not_reply, no_response, not_found};
use crate::{
    canister::{CallContext, Callback, CanisterId, Input, Origin, Request, Response},
    limits,
    network::Network,
    sysapi::OutgoingCall,
    types::{ErrorCode, IngressStatus, Reject},
};

impl Network {
    /// Sends a call that a message has made.
    pub(super) fn send(&mut self, caller: &CanisterId, context: u64, call: OutgoingCall) {
        let OutgoingCall {
            callee,
            method,
            arg,
            cycles,
            timeout,
            reply,
            reject,
            cleanup,
            prepaid,
        } = call;
        let deadline =
            timeout.map(|seconds| self.time.plus_nanos(u64::from(seconds) * 1_000_000_000));
        let Some(canister) = self.canisters.get_mut(caller) else {
            return;
        };
        let callback = canister.add_callback(Callback {
            context,
            callee,
            reply,
            reject,
            cleanup,
            prepaid,
            deadline,
            resolved: false,
        });
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, *caller, callback));
        }
        let origin = Origin::Canister {
            caller: *caller,
            callback,
            deadline,
        };
        let bytes = method.len() + arg.len();
        if bytes > limits::CALL_BYTES_MAX_ACROSS && self.is_elsewhere(caller, &callee) {
            let message = format!(
                "Canister {caller} violated contract: attempted to send a message of size {bytes} exceeding the \
                 limit {}",
                limits::CALL_BYTES_MAX_ACROSS
            );
            let reject = Reject::of(ErrorCode::CanisterContractViolation, message);
            self.respond(origin, Err(reject), cycles);
            return;
        }
        self.deliver(
            callee,
            Request {
                origin,
                caller: *caller,
                method,
                arg,
                cycles,
            },
        );
    }

    /// Whether a callee lives on another subnet than its caller.
    fn is_elsewhere(&self, caller: &CanisterId, callee: &CanisterId) -> bool {
        *callee != Principal::management_canister()
            && self.topology.index_of(callee) != self.topology.index_of(caller)
    }

    /// Puts a call where its callee will find it.
    pub(crate) fn deliver(&mut self, callee: CanisterId, request: Request) {
        if callee == Principal::management_canister() {
            self.management.push_back(request);
        } else if let Some(canister) = self.canisters.get_mut(&callee) {
            canister.inbox.push_back(Input::Request(request));
            self.ready.insert(callee);
        } else {
            self.respond(request.origin, Err(not_found(&callee)), request.cycles);
        }
    }

    /// Brings an answer, and cycles that were not accepted, to whoever waits.
    pub(crate) fn respond(
        &mut self,
        origin: Origin,
        answer: Result<Vec<u8>, Reject>,
        refund: u128,
    ) {
        match origin {
            Origin::System => self.spend(refund),
            Origin::Ingress { id, .. } => {
                let status = match answer {
                    Ok(reply) => IngressStatus::Replied(reply),
                    Err(reject) => IngressStatus::Rejected(bounded(reject)),
                };
                self.history.finish(&id, status, self.time);
                self.spend(refund);
            }
            Origin::Canister {
                caller,
                callback: number,
                ..
            } => {
                let Some(canister) = self.canisters.get_mut(&caller) else {
                    self.spend(refund);
                    return;
                };
                match canister.callbacks.get_mut(&number) {
                    Some(callback) if !callback.resolved => {
                        callback.resolved = true;
                        if let Some(deadline) = callback.deadline {
                            self.deadlines.remove(&(deadline, caller, number));
                        }
                        let answer = answer.map_err(bounded);
                        canister.inbox.push_back(Input::Response(Response {
                            callback: number,
                            answer,
                            refund,
                        }));
                        self.ready.insert(caller);
                    }
                    // The caller has stopped waiting; its cycles come back all the same.
                    _ => canister.balance += refund,
                }
            }
        }
    }

    /// Closes a call context that nothing can happen in any more, with an answer where one is still due.
    pub(crate) fn conclude(&mut self, id: &CanisterId, number: u64, failure: Option<Reject>) {
        let Some(canister) = self.canisters.get_mut(id) else {
            return;
        };
        if canister
            .contexts
            .get(&number)
            .is_none_or(|context| context.open_calls > 0)
        {
            return;
        }
        let Some(context) = canister.contexts.remove(&number) else {
            return;
        };
        let CallContext {
            origin,
            available,
            answered,
            ..
        } = context;
        if answered {
            // Whatever was not accepted went back with the answer.
            self.spend(available);
        } else {
            let reject = failure.unwrap_or_else(|| match origin {
                Origin::Canister { .. } => no_response(),
                Origin::Ingress { .. } | Origin::System => did_not_reply(id),
            });
            self.respond(origin, Err(reject), available);
        }
        self.finish_stopping(id);
    }
}
