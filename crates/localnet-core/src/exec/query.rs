//! Queries: answered at once from the present state, and never kept.
//!
//! A composite query may call queries of other canisters, and its callbacks see what it wrote; so it works on a copy
//! of its canister, which is dropped with the answer.

use std::{collections::VecDeque, sync::Arc};

use candid::Principal;

use super::{Entry, Execution, Keep, refusals};
use crate::{
    canister::{CanisterId, Code},
    limits,
    mem::Stable,
    network::{Network, RunState},
    sysapi::{Answer, Fault, Message, Mode, OutgoingCall},
    types::{ErrorCode, Query, Reject, SenderInfo},
    wasm::MethodKind,
};

/// A composite query while it is being answered.
struct Session {
    canister: CanisterId,
    caller: Principal,
    info: Option<Arc<SenderInfo>>,
    code: Code,
    stable: Stable,
    answer: Option<Answer>,
    calls: VecDeque<OutgoingCall>,
}

/// What is left for a query and all queries below it.
struct Budget {
    instructions: u64,
    /// For one query.
    each: u64,
    /// Why the whole of them is given up.
    over: Option<Reject>,
    /// What the queries used that the present one has called.
    below: u64,
}

impl Network {
    /// Answers a query from a user.
    pub(crate) fn answer_query(
        &mut self,
        query: &Query,
        certificate: Option<&[u8]>,
    ) -> Result<Vec<u8>, Reject> {
        let at = self
            .canisters
            .get(&query.canister)
            .ok_or_else(|| refusals::not_found(&query.canister))?;
        let limits::Instructions {
            query: each,
            composite: instructions,
            ..
        } = at.home.instructions;
        let mut budget = Budget {
            instructions,
            each,
            over: None,
            below: 0,
        };
        let answer = self.evaluate(query, certificate, 0, &mut budget);
        budget.over.map_or(answer, Err)
    }

    /// What a canister's query method makes of an answer to an HTTPS outcall; `arg` is what the method is given.
    pub fn transform(
        &mut self,
        canister: Principal,
        method: &str,
        arg: Vec<u8>,
    ) -> Result<Vec<u8>, Reject> {
        let known = self
            .canisters
            .get(&canister)
            .ok_or_else(|| refusals::not_found(&canister))?;
        let code = known
            .code
            .as_ref()
            .ok_or_else(|| refusals::no_module(&canister))?;
        if code.module.info.exports.methods.get(method) != Some(&MethodKind::Query) {
            return Err(refusals::no_method(&canister, "query", method));
        }
        let instructions = known.home.instructions.query;
        let query = Query {
            // The network itself asks.
            sender: Principal::management_canister(),
            canister,
            method: method.into(),
            arg,
            info: None,
        };
        let mut budget = Budget {
            instructions,
            each: instructions,
            over: None,
            below: 0,
        };
        self.plain_query(&query, Mode::Transform, None, &mut budget)
    }

    fn evaluate(
        &mut self,
        query: &Query,
        certificate: Option<&[u8]>,
        depth: usize,
        budget: &mut Budget,
    ) -> Result<Vec<u8>, Reject> {
        let id = query.canister;
        if id == Principal::management_canister() {
            return crate::mgmt::query(self, query);
        }
        let canister = self
            .canisters
            .get(&id)
            .ok_or_else(|| refusals::not_found(&id))?;
        if canister.state != RunState::Running {
            refusals::running(canister)?;
        }
        if self.is_native(&id) {
            return self.query_native(query, certificate);
        }
        refusals::thawed(canister)?;
        let code = canister
            .code
            .as_ref()
            .ok_or_else(|| refusals::no_module(&id))?;
        let left = budget.instructions;
        let beside = std::mem::take(&mut budget.below);
        let answer = match code.module.info.exports.methods.get(&query.method) {
            Some(MethodKind::Query) => self.plain_query(query, Mode::Query, certificate, budget),
            Some(MethodKind::CompositeQuery) => {
                let session = Session {
                    canister: id,
                    caller: query.sender,
                    info: query.info.clone(),
                    code: code.clone(),
                    stable: canister.stable.clone(),
                    answer: None,
                    calls: VecDeque::new(),
                };
                self.composite_query(session, query, certificate, depth, budget)
            }
            Some(MethodKind::Update) | None => {
                return Err(refusals::no_method(&id, "query", &query.method));
            }
        };
        let used = left - budget.instructions;
        if let Some(canister) = self.canisters.get_mut(&id) {
            let bytes = answer
                .as_ref()
                .map_or_else(|reject| reject.message.len(), Vec::len);
            canister
                .queries
                .count(used - budget.below, query.arg.len(), bytes);
            self.queried.insert(id);
        }
        budget.below = beside + used;
        answer
    }

    fn plain_query(
        &mut self,
        query: &Query,
        mode: Mode,
        certificate: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Result<Vec<u8>, Reject> {
        let id = query.canister;
        let canister = self
            .canisters
            .get_mut(&id)
            .ok_or_else(|| refusals::not_found(&id))?;
        let message = Message {
            mode,
            facts: Some(canister.facts(self.time)),
            caller: query.sender,
            caller_info: query.info.clone(),
            arg: query.arg.clone(),
            certificate: certificate.map(<[u8]>::to_vec),
            limit: budget.each.min(budget.instructions),
            may_answer: true,
            timer_before: canister.timer.map_or(0, |time| time.0),
            balance: canister.balance,
            stable: canister.stable.session(limits::STABLE_PAGES_PER_QUERY_MAX),
            ..Message::default()
        };
        let code = canister
            .code
            .as_mut()
            .ok_or_else(|| refusals::no_module(&id))?;
        let entry = Entry::Export(MethodKind::Query.export(&query.method));
        let Execution {
            result,
            instructions,
            message,
        } = self
            .executor
            .run(Some(id), code, &entry, Keep::Nothing, message);
        budget.spend(instructions);
        result.map_err(|fault| fault.reject(&id))?;
        finish(&id, message.answer)
    }

    fn composite_query(
        &mut self,
        mut session: Session,
        query: &Query,
        certificate: Option<&[u8]>,
        depth: usize,
        budget: &mut Budget,
    ) -> Result<Vec<u8>, Reject> {
        let id = session.canister;
        let entry = Entry::Export(MethodKind::CompositeQuery.export(&query.method));
        let message = Message {
            mode: Mode::CompositeQuery,
            arg: query.arg.clone(),
            // Only the query that the user sent can prove anything by a certificate.
            certificate: certificate.map(<[u8]>::to_vec),
            ..Message::default()
        };
        self.run_session(&mut session, &entry, message, budget)
            .map_err(|fault| fault.reject(&id))?;
        let mut failure = None;
        // Once there is an answer, nothing that is still to come could change it.
        while session.answer.is_none()
            && let Some(call) = session.calls.pop_front()
        {
            budget.check(depth)?;
            let callee = Query {
                sender: id,
                canister: call.callee,
                method: call.method.clone(),
                arg: call.arg.clone(),
                info: None,
            };
            // Queries see the state of one subnet only.
            let here = callee.canister == Principal::management_canister()
                || self.topology.index_of(&callee.canister) == self.topology.index_of(&id);
            let answer = if here {
                budget.spend(limits::QUERY_CALL_INSTRUCTIONS);
                self.evaluate(&callee, None, depth + 1, budget)
            } else {
                Err(refusals::not_found(&callee.canister))
            };
            budget.check(depth)?;
            if let Err(fault) = self.run_callback_of_query(&mut session, &call, answer, budget) {
                failure = Some(fault.reject(&id));
            }
        }
        match (session.answer, failure) {
            (None, Some(reject)) => Err(reject),
            (answer, _) => finish(&id, answer),
        }
    }

    fn run_callback_of_query(
        &mut self,
        session: &mut Session,
        call: &OutgoingCall,
        answer: Result<Vec<u8>, Reject>,
        budget: &mut Budget,
    ) -> Result<(), Fault> {
        let (mode, function, arg, rejection) = match answer {
            Ok(reply) => (Mode::CompositeReply, call.reply, reply, None),
            Err(reject) => (
                Mode::CompositeReject,
                call.reject,
                Vec::new(),
                Some((reject.code as u32, reject.message)),
            ),
        };
        let message = Message {
            mode,
            arg,
            rejection: rejection.clone(),
            ..Message::default()
        };
        let result = self.run_session(session, &Entry::Table(function), message, budget);
        if result.is_err()
            && let Some(cleanup) = call.cleanup
        {
            let message = Message {
                mode: Mode::CompositeCleanup,
                rejection,
                ..Message::default()
            };
            // The callback's failure is what counts.
            let _ = self.run_session(session, &Entry::Table(cleanup), message, budget);
        }
        result
    }

    fn run_session(
        &mut self,
        session: &mut Session,
        entry: &Entry,
        message: Message,
        budget: &mut Budget,
    ) -> Result<(), Fault> {
        let Some(canister) = self.canisters.get(&session.canister) else {
            return Err(Fault::Engine("the canister is gone".into()));
        };
        let limit = budget.each.min(budget.instructions);
        let message = Message {
            facts: Some(canister.facts(self.time)),
            caller: session.caller,
            caller_info: session.info.clone(),
            limit,
            may_answer: session.answer.is_none() && message.mode != Mode::CompositeCleanup,
            timer_before: canister.timer.map_or(0, |time| time.0),
            balance: canister.balance,
            stable: session.stable.session(limits::STABLE_PAGES_PER_QUERY_MAX),
            ..message
        };
        let Execution {
            result,
            instructions,
            message,
        } = self
            .executor
            .run(None, &mut session.code, entry, Keep::Changes, message);
        budget.spend(instructions);
        result?;
        message.stable.commit_to(&mut session.stable);
        session.calls.extend(message.calls);
        if message.answer.is_some() {
            session.answer = message.answer;
        }
        Ok(())
    }
}

impl Budget {
    /// Whether a query at this depth may go on calling others; otherwise all of them are given up.
    fn check(&mut self, depth: usize) -> Result<(), Reject> {
        if self.over.is_none() && depth >= limits::COMPOSITE_DEPTH_MAX {
            self.over = Some(Reject::of(
                ErrorCode::QueryCallGraphTooDeep,
                "Composite query calls exceeded the maximum call depth.",
            ));
        }
        if self.over.is_none() && self.instructions == 0 {
            self.over = Some(Reject::of(
                ErrorCode::QueryCallGraphTotalInstructionLimitExceeded,
                "Composite query calls exceeded the instruction limit.",
            ));
        }
        self.over.clone().map_or(Ok(()), Err)
    }

    fn spend(&mut self, instructions: u64) {
        self.instructions = self.instructions.saturating_sub(instructions);
    }
}

fn finish(id: &CanisterId, answer: Option<Answer>) -> Result<Vec<u8>, Reject> {
    match answer {
        Some(Answer::Reply(bytes)) => Ok(bytes),
        Some(Answer::Reject(text)) => Err(Reject::of(ErrorCode::CanisterRejectedMessage, text)),
        None => Err(refusals::did_not_reply(id)),
    }
}
