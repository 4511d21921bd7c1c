//! Subnets that come and go while the network runs.

use std::sync::Arc;

use candid::Principal;

use super::{Home, Network};
use crate::{
    canister::{CanisterId, Input},
    mgmt,
    sysapi::SubnetFacts,
    topology::{Topology, TopologyChange, TopologyError},
    types::{ErrorCode, Reject},
};

impl Network {
    /// Makes a subnet for an id of the public network that no subnet hosts. Other ids change nothing.
    pub(crate) fn host_public(&mut self, id: &CanisterId) -> Result<(), Reject> {
        match self.topology.changed(TopologyChange::Host(*id)) {
            Ok(topology) => {
                let at = topology.subnets().len() - 1;
                self.homes.push(Home::of(&topology, at));
                self.topology = Arc::new(topology);
                Ok(())
            }
            Err(TopologyError::Hosted { .. } | TopologyError::NotPublic { .. }) => Ok(()),
            Err(error) => Err(Reject::of(
                ErrorCode::CanisterNotHostedBySubnet,
                format!("Unsuccessful validation of specified ID: {error}"),
            )),
        }
    }

    /// Deletes a subnet with everything on it. Whoever waits for its canisters is told that they are gone.
    ///
    /// # Errors
    /// Where there is no such subnet, it is one of those that have a name, or it is the last.
    pub fn delete_subnet(&mut self, id: &Principal) -> Result<(), TopologyError> {
        let topology = self.topology.changed(TopologyChange::Delete(*id))?;
        let here: Vec<_> = self
            .canisters
            .values()
            .filter(|canister| canister.home.id == *id)
            .map(|canister| canister.id)
            .collect();
        for canister in here {
            self.drop_canister(&canister);
        }
        self.move_homes(topology);
        Ok(())
    }

    /// Takes a canister away, whatever it is doing.
    fn drop_canister(&mut self, id: &CanisterId) {
        mgmt::uninstall_code(self, id).expect("BUG: the canister is there");
        let Some(canister) = self.canisters.remove(id) else {
            return;
        };
        self.ready.remove(id);
        self.deadlines.retain(|(_, caller, _)| caller != id);
        // What was set aside for callbacks, and for calls whose context was answered, goes to nobody.
        let set_aside: u128 = canister
            .callbacks
            .values()
            .map(|callback| callback.prepaid)
            .chain(canister.contexts.values().map(|context| context.available))
            .sum();
        self.spend(canister.balance + canister.reserved + set_aside);
        for waiter in canister.stop_waiters {
            self.respond(
                waiter.origin,
                Err(crate::exec::not_found(id)),
                waiter.cycles,
            );
        }
        for input in canister.inbox {
            match input {
                Input::Task(_) => {}
                Input::Request(request) => self.respond(
                    request.origin,
                    Err(crate::exec::not_found(id)),
                    request.cycles,
                ),
                Input::Response(response) => self.spend(response.refund),
            }
        }
    }

    /// Gives every subnet its place among those that are left.
    fn move_homes(&mut self, topology: Topology) {
        self.homes
            .retain(|home| topology.subnet(&home.facts.id).is_some());
        for (index, home) in self.homes.iter_mut().enumerate() {
            if home.facts.index != index {
                home.facts = Arc::new(SubnetFacts {
                    index,
                    ..SubnetFacts::clone(&home.facts)
                });
            }
        }
        for canister in self.canisters.values_mut() {
            let home = self
                .homes
                .iter()
                .find(|home| home.facts.id == canister.home.id);
            let home = home.expect("BUG: a canister without a subnet");
            canister.home = Arc::clone(&home.facts);
        }
        self.topology = Arc::new(topology);
    }
}
