//! Subnets that come and go while a network runs.

use candid::Principal;
use serde::{Deserialize, Serialize};

use super::{Subnet, SubnetPlan, Topology, TopologyError, plan};
use crate::{limits, network::canister_number};

/// What may happen to a network's subnets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TopologyChange {
    /// There is a subnet for this canister id, and others of the public network beside it.
    Host(Principal),
    /// There is no such subnet any more.
    Delete(Principal),
}

impl Topology {
    /// The subnets after a change. One that is new comes last, and does not become the default.
    ///
    /// # Errors
    /// Where the change makes no sense; see [`TopologyError`].
    pub fn changed(&self, change: TopologyChange) -> Result<Self, TopologyError> {
        if self.changes.len() >= limits::TOPOLOGY_CHANGES_MAX {
            return Err(TopologyError::Changes);
        }
        let mut changed = self.clone();
        changed.changes.push(change);
        match change {
            TopologyChange::Host(id) => changed.host(id)?,
            TopologyChange::Delete(id) => changed.delete(id)?,
        }
        Ok(changed)
    }

    /// What has changed since the plan, in order.
    pub fn changes(&self) -> &[TopologyChange] {
        &self.changes
    }

    fn host(&mut self, id: Principal) -> Result<(), TopologyError> {
        if self.subnet_of(&id).is_some() {
            return Err(TopologyError::Hosted { id });
        }
        let (kind, range) = canister_number(&id)
            .and_then(plan::public_host)
            .ok_or(TopologyError::NotPublic { id })?;
        let visible = self.subnets.iter().filter(|subnet| !subnet.hidden).count();
        if visible >= limits::SUBNETS_MAX {
            let found = visible + 1;
            return Err(TopologyError::TooMany { found });
        }
        let name = self.names.next(kind);
        let allocation = self.source.take();
        let plan = SubnetPlan::of(kind);
        let subnet = Subnet::with(&self.seed, &name, plan, range, allocation);
        self.subnets.push(subnet);
        Ok(())
    }

    fn delete(&mut self, id: Principal) -> Result<(), TopologyError> {
        let at = self
            .subnets
            .iter()
            .position(|subnet| subnet.id == id && !subnet.hidden)
            .ok_or(TopologyError::Unknown { id })?;
        let kind = self.subnets[at].kind;
        if kind.is_single() {
            return Err(TopologyError::Named { id, kind });
        }
        if self.subnets.iter().filter(|subnet| !subnet.hidden).count() < 2 {
            return Err(TopologyError::Last { id });
        }
        let default = self.subnets[self.default].id;
        self.subnets.remove(at);
        self.default = self
            .subnets
            .iter()
            .position(|subnet| subnet.id == default)
            .unwrap_or_else(|| plan::default_subnet(&self.subnets));
        Ok(())
    }
}
