//! How messages reach system canisters, and what these do to the network.

use std::sync::Arc;

use candid::Principal;
use ic_management_canister_types::CanisterSettings;

use super::{
    System, SystemPlan,
    call::{Call, Place, Trap, World},
};
use crate::{
    canister::{Canister, CanisterId, Input, Origin, Request, Settings},
    exec::{no_method, not_found},
    mgmt,
    network::Network,
    sysapi::{Fault, SubnetFacts},
    topology::SubnetKind,
    types::{Query, Reject},
};

/// The network while a system canister executes a message.
struct Effects<'a> {
    network: &'a mut Network,
    id: CanisterId,
    /// Cycles of the call that were not accepted.
    available: u128,
}

impl Network {
    /// Puts the planned system canisters where they belong; those whose ids no subnet hosts are left out.
    pub(crate) fn install_system(&mut self, plan: &SystemPlan) {
        let mut plan = plan.clone();
        plan.retain(|id| self.host_of(id).is_some());
        let (system, held) = System::new(&plan, self.time.0);
        for id in plan.ids() {
            let Some(home) = self.host_of(&id) else {
                continue;
            };
            let settings = Settings::new(Vec::new());
            let mut canister = Canister::new(id, home, settings, 0, self.time);
            canister.certified_data = System::certified_data(&id);
            if id == super::CYCLES_LEDGER {
                canister.balance = held;
                self.totals.minted += held;
            }
            self.canisters.insert(id, canister);
        }
        self.system = Some(Box::new(system));
    }

    /// The subnet that hosts this id.
    fn host_of(&self, id: &CanisterId) -> Option<Arc<SubnetFacts>> {
        let at = self.topology.index_of(id)?;
        let hidden = self.topology.subnets()[at].hidden;
        (!hidden).then(|| Arc::clone(&self.homes[at].facts))
    }

    /// Whether this canister is Rust code instead of Wasm.
    pub(crate) fn is_native(&self, id: &CanisterId) -> bool {
        self.system.as_ref().is_some_and(|system| system.has(id))
    }

    /// Executes a message of a system canister.
    pub(crate) fn run_native(&mut self, id: &CanisterId, input: Input) {
        // They run nothing of their own and never call, so there are no tasks and no responses.
        let Input::Request(request) = input else {
            return;
        };
        let Request {
            origin,
            caller,
            method,
            arg,
            cycles,
        } = request;
        if let Origin::Ingress { id, .. } = &origin
            && !self.begin_ingress(id)
        {
            return;
        }
        let Some(mut system) = self.system.take() else {
            return;
        };
        let call = Call {
            caller,
            now: self.time.0,
            arg: &arg,
            certificate: None,
        };
        let mut effects = Effects {
            network: self,
            id: *id,
            available: cycles,
        };
        let answer = system.execute(id, &method, &call, &mut effects);
        let left = effects.available;
        self.system = Some(system);
        let answer = match answer {
            Some(Ok(reply)) => Ok(reply),
            Some(Err(Trap(text))) => {
                debug_assert_eq!(left, cycles, "BUG: a trap after an effect");
                Err(Fault::CalledTrap(text).reject(id))
            }
            None => Err(no_method(id, "update", &method)),
        };
        if let Some(canister) = self.canisters.get_mut(id) {
            canister.version += 1;
        }
        self.respond(origin, answer, left);
    }

    /// Answers a query to a system canister.
    pub(crate) fn query_native(
        &self,
        query: &Query,
        certificate: Option<&[u8]>,
    ) -> Result<Vec<u8>, Reject> {
        let id = query.canister;
        let system = self.system.as_ref().ok_or_else(|| not_found(&id))?;
        let call = Call {
            caller: query.sender,
            now: self.time.0,
            arg: &query.arg,
            certificate,
        };
        match system.answer(&id, &query.method, &call, &self.places()) {
            Some(Ok(reply)) => Ok(reply),
            Some(Err(Trap(text))) => Err(Fault::CalledTrap(text).reject(&id)),
            None => Err(no_method(&id, "query", &query.method)),
        }
    }

    /// The subnets on which users may have canisters.
    fn places(&self) -> Vec<Place> {
        let subnets = self.topology.subnets();
        let any_application = subnets
            .iter()
            .any(|subnet| subnet.kind == SubnetKind::Application);
        let default = self.topology.default_index();
        subnets
            .iter()
            .enumerate()
            .filter(|(_, subnet)| !subnet.hidden)
            .map(|(index, subnet)| Place {
                id: subnet.id,
                open: if any_application {
                    subnet.kind == SubnetKind::Application
                } else {
                    index == default
                },
            })
            .collect()
    }
}

impl Effects<'_> {
    fn own(&mut self) -> &mut Canister {
        self.network
            .canisters
            .get_mut(&self.id)
            .expect("BUG: a system canister is never deleted")
    }
}

impl World for Effects<'_> {
    fn available(&self) -> u128 {
        self.available
    }

    fn accept(&mut self, cycles: u128) {
        self.available -= cycles;
        self.own().balance += cycles;
    }

    fn hand_back(&mut self, cycles: u128) {
        self.own().balance -= cycles;
        self.available += cycles;
    }

    fn mint(&mut self, cycles: u128) {
        self.own().balance += cycles;
        self.network.totals.minted += cycles;
    }

    fn burn(&mut self, cycles: u128) {
        self.own().balance -= cycles;
        self.network.spend(cycles);
    }

    fn deposit(&mut self, to: &Principal, cycles: u128) -> Result<(), Reject> {
        if !self.network.canisters.contains_key(to) {
            return Err(not_found(to));
        }
        self.own().balance -= cycles;
        if let Some(canister) = self.network.canisters.get_mut(to) {
            canister.balance += cycles;
        }
        Ok(())
    }

    fn create_canister(
        &mut self,
        subnet: &Principal,
        owner: &Principal,
        settings: Option<CanisterSettings>,
        cycles: u128,
    ) -> Result<Principal, Reject> {
        let subnets = self.network.topology.subnets();
        let at = subnets
            .iter()
            .position(|place| place.id == *subnet)
            .ok_or_else(|| not_found(subnet))?;
        // Whoever takes the order, the cycles-minting canister is the one that creates.
        let by = if self.network.canisters.contains_key(&super::CYCLES_MINTING) {
            super::CYCLES_MINTING
        } else {
            self.id
        };
        let settings = settings.unwrap_or_default();
        let id = mgmt::create_for(self.network, by, at, *owner, settings, cycles)?;
        self.own().balance -= cycles;
        Ok(id)
    }

    fn places(&self) -> Vec<Place> {
        self.network.places()
    }
}
