//! Canisters that programs expect on every network, at their ids on the public one, in Rust instead of Wasm: the cycles
//! ledger, the ICP ledger and the cycles minting canister.
//!
//! Each is a state and methods over it; what they may do to the network is `call::World`. How their messages are
//! taken from queues and answered is `native`. They execute within one message, so nothing can come between their
//! steps, and a trap has no effect.
//!
//! Invariant: they never call other canisters, so they have no callbacks and no open call contexts.

mod account;
mod book;
mod call;
mod cmc;
mod cycles_ledger;
mod icp_ledger;
mod icrc;
mod interface;
mod native;
#[cfg(test)]
mod testing;
mod value;
mod window;

use candid::Principal;
use serde::{Deserialize, Serialize};

pub use self::account::{Account, AccountId};
pub(crate) use self::interface::metadata;
use self::{
    call::{Answer, Call, Place, World},
    cmc::{Cmc, Ledgers},
    cycles_ledger::CyclesLedger,
    icp_ledger::{IcpLedger, Payment},
};

/// The ICP ledger, `ryjl3-tyaaa-aaaaa-aaaba-cai`.
pub const ICP_LEDGER: Principal = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 2, 1, 1]);
/// The cycles minting canister, `rkp4c-7iaaa-aaaaa-aaaca-cai`.
pub const CYCLES_MINTING: Principal = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 4, 1, 1]);
/// The cycles ledger, `um5iw-rqaaa-aaaaq-qaaba-cai`.
pub const CYCLES_LEDGER: Principal = Principal::from_slice(&[0, 0, 0, 0, 2, 0x10, 0, 2, 1, 1]);

/// ICP of the anonymous principal in [`SystemPlan::seeded`], in e8s.
const SEEDED_E8S: u64 = 100_000_000_000_000_000;
/// Its cycles.
const SEEDED_CYCLES: u128 = u128::MAX / 2;

/// Which system canisters a network has, and who owns what in the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemPlan {
    /// Whether there is a cycles ledger.
    pub cycles_ledger: bool,
    /// Whether there is an ICP ledger.
    pub icp_ledger: bool,
    /// Whether there is a cycles minting canister.
    pub cycles_minting: bool,
    /// Cycles on the cycles ledger.
    pub cycles: Vec<(Account, u128)>,
    /// E8s on the ICP ledger.
    pub icp: Vec<(Account, u64)>,
}

impl SystemPlan {
    /// No system canisters.
    pub fn none() -> Self {
        Self::default()
    }

    /// All of them, with more than anybody needs in the account of the anonymous principal, as development tools
    /// expect it.
    pub fn seeded() -> Self {
        let anonymous = Account::of(Principal::anonymous());
        Self {
            cycles_ledger: true,
            icp_ledger: true,
            cycles_minting: true,
            cycles: vec![(anonymous, SEEDED_CYCLES)],
            icp: vec![(anonymous, SEEDED_E8S)],
        }
    }

    /// Without those canisters whose ids do not hold.
    fn retain(&mut self, holds: impl Fn(&Principal) -> bool) {
        self.icp_ledger &= holds(&ICP_LEDGER);
        self.cycles_minting &= holds(&CYCLES_MINTING);
        self.cycles_ledger &= holds(&CYCLES_LEDGER);
    }

    /// The ids of the canisters that it has.
    pub fn ids(&self) -> impl Iterator<Item = Principal> {
        [
            (self.icp_ledger, ICP_LEDGER),
            (self.cycles_minting, CYCLES_MINTING),
            (self.cycles_ledger, CYCLES_LEDGER),
        ]
        .into_iter()
        .filter_map(|(has, id)| has.then_some(id))
    }
}

/// The states of all system canisters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct System {
    ids: Vec<Principal>,
    cycles: CyclesLedger,
    icp: IcpLedger,
    cmc: Cmc,
}

impl System {
    /// New states; gives the cycles that the cycles ledger must have. Balances that do not fit are left out.
    pub(crate) fn new(plan: &SystemPlan, now: u64) -> (Self, u128) {
        let mut system = Self {
            ids: plan.ids().collect(),
            cycles: CyclesLedger::new(),
            icp: IcpLedger::new(),
            cmc: Cmc::default(),
        };
        let mut held = 0;
        for (account, amount) in plan.cycles.iter().filter(|_| plan.cycles_ledger) {
            if *amount > 0 && system.cycles.check_mint(account, *amount, None).is_ok() {
                system.cycles.mint(*account, *amount, None, 0, now);
                held += amount;
            }
        }
        for (account, e8s) in &plan.icp {
            let payment = Payment {
                from: IcpLedger::minting_account().id(),
                to: account.id(),
                spender: None,
                amount: (*e8s).into(),
                fee: None,
                memo: 0,
                icrc1_memo: None,
                created_at_time: None,
            };
            if system.icp.pay(payment, now).is_err() {
                tracing::warn!(%account.owner, e8s, "the ICP ledger cannot hold so much");
            }
        }
        (system, held)
    }

    /// Whether this canister is one of them.
    pub(crate) fn has(&self, id: &Principal) -> bool {
        self.ids.contains(id)
    }

    /// What a canister certifies from the beginning.
    pub(crate) fn certified_data(id: &Principal) -> Vec<u8> {
        if *id == CYCLES_MINTING {
            Cmc::certified_data()
        } else {
            Vec::new()
        }
    }

    /// Executes a method; none where there is no such method.
    fn execute(
        &mut self,
        id: &Principal,
        method: &str,
        call: &Call<'_>,
        world: &mut dyn World,
    ) -> Option<Answer> {
        let updated = if *id == CYCLES_LEDGER {
            self.cycles.update(method, call, world)
        } else if *id == ICP_LEDGER {
            self.icp.update(method, call)
        } else {
            let ledgers = Ledgers {
                icp: &mut self.icp,
                cycles: &mut self.cycles,
            };
            self.cmc.update(method, call, ledgers, world)
        };
        updated.or_else(|| self.answer(id, method, call, &world.places()))
    }

    /// Answers a query method; none where there is no such method.
    fn answer(
        &self,
        id: &Principal,
        method: &str,
        call: &Call<'_>,
        places: &[Place],
    ) -> Option<Answer> {
        if *id == CYCLES_LEDGER {
            self.cycles.query(method, call)
        } else if *id == ICP_LEDGER {
            self.icp.query(method, call)
        } else {
            self.cmc.query(method, call, places)
        }
    }
}
