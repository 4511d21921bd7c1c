//! Messages that change canisters: tasks, calls and callbacks, and the answers that they lead to.

use candid::Principal;

use super::{
    Entry, Execution, Keep,
    refusals::{affordable, no_method, no_module, not_found, running},
};
use crate::{
    canister::{
        CallContext, Callback, Canister, CanisterId, Input, LowMemory, Origin, Request, Response,
        TaskKind,
    },
    limits,
    network::{Network, RunState},
    sysapi::{Answer, Fault, Message, Mode},
    types::{ErrorCode, Reject},
    wasm::MethodKind,
};

/// One execution within a call context.
struct Run {
    context: u64,
    entry: Entry,
    mode: Mode,
    arg: Vec<u8>,
    rejection: Option<(u32, String)>,
    refunded: u128,
    limit: u64,
}

impl Network {
    /// Executes a canister's next message; gives the instructions that it used.
    pub(crate) fn step(&mut self, id: &CanisterId) -> u64 {
        let Some(canister) = self.canisters.get_mut(id) else {
            return 0;
        };
        let Some(input) = canister.inbox.pop_front() else {
            return 0;
        };
        if self.is_native(id) {
            self.run_native(id, input);
            return 0;
        }
        match input {
            Input::Task(kind) => self.run_task(id, kind),
            Input::Request(request) => self.run_request(id, request),
            Input::Response(response) => self.run_response(id, response),
        }
    }

    fn run_task(&mut self, id: &CanisterId, kind: TaskKind) -> u64 {
        let Some(canister) = self.canisters.get_mut(id) else {
            return 0;
        };
        let Some(code) = canister
            .code
            .as_ref()
            .filter(|_| canister.state == RunState::Running)
        else {
            return 0;
        };
        let exports = &code.module.info.exports;
        let (exported, mode, name) = match kind {
            TaskKind::Heartbeat => (exports.heartbeat, Mode::Heartbeat, "canister_heartbeat"),
            TaskKind::GlobalTimer => (
                exports.global_timer,
                Mode::GlobalTimer,
                "canister_global_timer",
            ),
            TaskKind::LowMemory => (
                exports.low_memory && canister.low_memory == LowMemory::Due,
                Mode::LowMemory,
                "canister_on_low_wasm_memory",
            ),
        };
        if !exported || !prepay(canister) {
            return 0;
        }
        if kind == TaskKind::LowMemory {
            canister.low_memory = LowMemory::Told;
        }
        let context = canister.open_context(Origin::System, Principal::management_canister(), 0);
        let limit = canister.home.instructions.update;
        let run = Run::entry(context, mode, name.into(), Vec::new(), limit);
        let (instructions, failure) = self.run(id, run);
        self.settle_prepaid(id, instructions);
        self.conclude(id, context, failure.map(|fault| fault.reject(id)));
        instructions
    }

    fn run_request(&mut self, id: &CanisterId, request: Request) -> u64 {
        if let Origin::Ingress { id: request_id, .. } = &request.origin
            && !self.begin_ingress(request_id)
        {
            return 0;
        }
        let admitted = match self.canisters.get_mut(id) {
            Some(canister) => admit(canister, &request),
            None => Err(not_found(id)),
        };
        let kind = match admitted {
            Ok(kind) => kind,
            Err(reject) => {
                self.respond(request.origin, Err(reject), request.cycles);
                return 0;
            }
        };
        let Some(canister) = self.canisters.get_mut(id) else {
            return 0;
        };
        let Request {
            origin,
            caller,
            method,
            arg,
            cycles,
        } = request;
        let context = canister.open_context(origin, caller, cycles);
        let mode = if kind == MethodKind::Query {
            Mode::ReplicatedQuery
        } else {
            Mode::Update
        };
        let limit = canister.home.instructions.update;
        let run = Run::entry(context, mode, kind.export(&method), arg, limit);
        let (instructions, failure) = self.run(id, run);
        self.settle_prepaid(id, instructions);
        self.conclude(id, context, failure.map(|fault| fault.reject(id)));
        instructions
    }

    fn run_response(&mut self, id: &CanisterId, response: Response) -> u64 {
        let Some(canister) = self.canisters.get_mut(id) else {
            return 0;
        };
        let Response {
            callback: number,
            answer,
            refund,
        } = response;
        let Some(callback) = canister.take_callback(number) else {
            return 0;
        };
        let bytes = match &answer {
            Ok(reply) => reply.len(),
            Err(reject) => reject.message.len(),
        };
        let prices = canister.home.prices;
        let wide = canister.wide();
        let fee = prices.answer(bytes.min(limits::REPLY_BYTES_MAX) as u64);
        canister.balance += refund;
        canister.consumed.transmission += fee;
        self.spend(fee);
        let Some(canister) = self.canisters.get_mut(id) else {
            return 0;
        };
        let alive = canister
            .contexts
            .get(&callback.context)
            .is_some_and(|context| !context.deleted);
        if !alive || canister.code.is_none() {
            canister.balance += callback.prepaid - fee;
            self.conclude(id, callback.context, None);
            return 0;
        }
        let (instructions, failure) = self.run_callback(id, &callback, answer, refund);
        let used = prices
            .execution(instructions, wide)
            .min(callback.prepaid - fee);
        self.spend(used);
        if let Some(canister) = self.canisters.get_mut(id) {
            canister.balance += callback.prepaid - fee - used;
            canister.consumed.instructions += used;
        }
        self.conclude(id, callback.context, failure);
        instructions
    }

    fn run_callback(
        &mut self,
        id: &CanisterId,
        callback: &Callback,
        answer: Result<Vec<u8>, Reject>,
        refunded: u128,
    ) -> (u64, Option<Reject>) {
        let Some(whole) = self
            .canisters
            .get(id)
            .map(|canister| canister.home.instructions.update)
        else {
            return (0, None);
        };
        // A cleanup must be able to run after its callback has used everything up.
        let limit = if callback.cleanup.is_some() {
            whole - whole / limits::CLEANUP_SHARE
        } else {
            whole
        };
        let (mode, call, arg, rejection) = match answer {
            Ok(reply) => (Mode::Reply, callback.reply, reply, None),
            Err(reject) => (
                Mode::Reject,
                callback.reject,
                Vec::new(),
                Some((reject.code as u32, reject.message)),
            ),
        };
        let context = callback.context;
        let run = Run {
            context,
            entry: Entry::Table(call),
            mode,
            arg,
            rejection: rejection.clone(),
            refunded,
            limit,
        };
        let (instructions, failure) = self.run(id, run);
        let Some(fault) = failure else {
            return (instructions, None);
        };
        let Some(cleanup) = callback.cleanup else {
            return (instructions, Some(fault.reject(id)));
        };
        let run = Run {
            context,
            entry: Entry::Table(cleanup),
            mode: Mode::Cleanup,
            arg: Vec::new(),
            rejection,
            refunded: 0,
            limit: whole - instructions.min(whole),
        };
        let (more, failure) = self.run(id, run);
        let reject = match failure {
            Some(cleanup) => fault.reject_with_cleanup(&cleanup, id),
            None => fault.reject(id),
        };
        (instructions + more, Some(reject))
    }

    /// Executes and, on success, takes the effects over. Instructions are paid for by the caller of this function.
    fn run(&mut self, id: &CanisterId, run: Run) -> (u64, Option<Fault>) {
        let Run {
            context: number,
            entry,
            mode,
            arg,
            rejection,
            refunded,
            limit,
        } = run;
        let time = self.time;
        let Some(canister) = self.canisters.get_mut(id) else {
            return (0, None);
        };
        let facts = canister.facts(time);
        let Some(context) = canister.contexts.get(&number) else {
            return (0, None);
        };
        let message = Message {
            mode,
            facts: Some(facts),
            caller: context.caller,
            caller_info: context.origin.info(),
            arg,
            rejection,
            deadline: context.origin.deadline(),
            limit,
            used_before: context.instructions,
            may_answer: !context.answered
                && context.origin != Origin::System
                && mode != Mode::Cleanup,
            available: context.available,
            refunded,
            timer_before: canister.timer.map_or(0, |time| time.0),
            balance: canister.balance,
            stable: canister.stable.session(if mode == Mode::ReplicatedQuery {
                limits::STABLE_PAGES_PER_QUERY_MAX
            } else {
                limits::STABLE_PAGES_PER_MESSAGE_MAX
            }),
            ..Message::default()
        };
        let Some(code) = canister.code.as_mut() else {
            return (0, None);
        };
        let keep = if mode == Mode::ReplicatedQuery {
            Keep::Nothing
        } else {
            Keep::Changes
        };
        let Execution {
            result,
            instructions,
            mut message,
        } = self.executor.run(Some(*id), code, &entry, keep, message);
        canister.log.extend(time, std::mem::take(&mut message.log));
        if let Some(context) = canister.contexts.get_mut(&number) {
            context.instructions += instructions;
        }
        if let Err(fault) = result {
            tracing::debug!(canister = %id, %mode, %fault, "message failed");
            return (instructions, Some(fault));
        }
        canister.balance = message.balance;
        canister.consumed.burned += message.burned;
        canister.consumed.transmission += message.spent - message.burned;
        let (answer, calls, refund, spent) = (
            message.answer.take(),
            std::mem::take(&mut message.calls),
            message.refund,
            message.spent,
        );
        let available = message.available;
        if keep == Keep::Changes {
            canister.adopt(message);
        }
        if canister.watch_memory() {
            self.ready.insert(*id);
        }
        let Some(canister) = self.canisters.get_mut(id) else {
            return (instructions, None);
        };
        let origin = canister.contexts.get_mut(&number).and_then(|context| {
            context.available = available;
            answer.is_some().then(|| {
                context.answered = true;
                context.origin.clone()
            })
        });
        self.spend(spent);
        for call in calls {
            self.send(id, number, call);
        }
        if let (Some(origin), Some(answer)) = (origin, answer) {
            let answer = match answer {
                Answer::Reply(bytes) => Ok(bytes),
                Answer::Reject(message) => {
                    Err(Reject::of(ErrorCode::CanisterRejectedMessage, message))
                }
            };
            self.respond(origin, answer, refund);
        }
        (instructions, None)
    }

    fn settle_prepaid(&mut self, id: &CanisterId, instructions: u64) {
        let Some(canister) = self.canisters.get_mut(id) else {
            return;
        };
        let used = canister
            .home
            .prices
            .execution(instructions, canister.wide());
        canister.balance += canister.longest_execution() - used;
        canister.consumed.instructions += used;
        self.spend(used);
    }
}

impl Run {
    fn entry(context: u64, mode: Mode, export: String, arg: Vec<u8>, limit: u64) -> Self {
        Self {
            context,
            entry: Entry::Export(export),
            mode,
            arg,
            rejection: None,
            refunded: 0,
            limit,
        }
    }
}

impl Canister {
    fn open_context(&mut self, origin: Origin, caller: Principal, cycles: u128) -> u64 {
        let number = self.number();
        self.contexts.insert(
            number,
            CallContext {
                origin,
                caller,
                available: cycles,
                answered: false,
                deleted: false,
                open_calls: 0,
                instructions: 0,
            },
        );
        number
    }

    /// Takes over what a successful message has left behind.
    fn adopt(&mut self, message: Message) {
        message.stable.commit_to(&mut self.stable);
        if let Some(data) = message.certified {
            self.certified_data = data;
        }
        if let Some(timer) = message.timer {
            self.timer = (timer > 0).then_some(crate::types::Time(timer));
        }
        self.version += 1;
    }
}

/// Takes what the longest execution costs; false where the canister has too little.
fn prepay(canister: &mut Canister) -> bool {
    let cost = canister.longest_execution();
    let enough = canister.liquid() >= cost;
    if enough {
        canister.balance -= cost;
    }
    enough
}

/// Whether a canister takes this call now; on success its execution is paid for.
fn admit(canister: &mut Canister, request: &Request) -> Result<MethodKind, Reject> {
    running(canister)?;
    let id = canister.id;
    let code = canister.code.as_ref().ok_or_else(|| no_module(&id))?;
    let kind = match code.module.info.exports.methods.get(&request.method) {
        Some(MethodKind::CompositeQuery) => {
            return Err(Reject::of(
                ErrorCode::CompositeQueryCalledInReplicatedMode,
                "Composite query cannot be called in replicated mode",
            ));
        }
        Some(kind) => *kind,
        None => return Err(no_method(&id, "update", &request.method)),
    };
    if let Origin::Canister { caller, .. } = &request.origin
        && *caller != id
        && request.cycles < canister.settings.minimum_call_cycles
    {
        return Err(Reject::of(
            ErrorCode::InsufficientCyclesInCall,
            format!(
                "Canister {id} takes calls with at least {} cycles, this one had {}",
                canister.settings.minimum_call_cycles, request.cycles
            ),
        ));
    }
    affordable(canister, canister.longest_execution(), &request.caller)?;
    prepay(canister);
    Ok(kind)
}
