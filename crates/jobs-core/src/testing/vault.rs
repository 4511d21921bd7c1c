//! People who move money in and out, over a network that loses, delays, repeats and forgets.
//!
//! A world of the vault is the shell of a canister and everything outside of it: calls on their way, answers on their
//! way back, callbacks that trap, upgrades that forget them, and a controller who looks at the ledger. After each step
//! it compares the market with the ledger's book and a second opinion on all balances.

mod network;

use std::collections::BTreeMap;

use assay_protocol::{
    Cycles, TransferId, limits,
    money::{
        DepositFromArgs, Destination, LedgerAccount, MoneyError, TransferKind, TransferState,
        TransfersArgs, WithdrawArgs,
    },
};
use candid::Principal;
use fastrand::Rng;
use serde_bytes::ByteBuf;

use self::network::Flight;
use super::{FaultLedger, Ledger, Market, MemoryMarket, canister};
use crate::{store::Cell, vault::Outcome};

/// A transfer, as the world knows it.
#[derive(Clone, Copy, Debug)]
struct Known {
    account: Principal,
    deposit: bool,
    to_canister: bool,
    amount: u128,
    taken: u128,
    /// Whether it happened, once the market says so.
    end: Option<bool>,
}

/// Everything outside of a market's vault.
#[derive(Debug)]
pub struct VaultWorld {
    rng: Rng,
    /// The ledger.
    pub ledger: FaultLedger,
    people: Vec<Principal>,
    flights: Vec<Flight>,
    transfers: BTreeMap<TransferId, Known>,
    answers: Vec<(TransferId, Outcome)>,
    /// What lies on the ledger and is not on its way out, by the ends that the market told.
    on_ledger: u128,
    /// Whether it also lets time pass and upgrades the market.
    alone: bool,
    counts: BTreeMap<&'static str, u32>,
}

impl VaultWorld {
    /// A world of these people; the seed decides everything.
    pub fn new(seed: u64, people: Vec<Principal>) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x7661_756c_7400);
        let fee = rng.u128(0..2_000_000);
        Self {
            ledger: FaultLedger::new(rng.u64(..), fee),
            rng,
            people,
            flights: Vec::new(),
            transfers: BTreeMap::new(),
            answers: Vec::new(),
            on_ledger: 0,
            alone: true,
            counts: BTreeMap::new(),
        }
    }

    /// The same beside others, who decide on time and upgrades.
    pub fn beside(seed: u64, people: Vec<Principal>) -> Self {
        Self {
            alone: false,
            ..Self::new(seed, people)
        }
    }

    /// How often things happened.
    pub fn counts(&self) -> &BTreeMap<&'static str, u32> {
        &self.counts
    }

    /// Takes one step and checks the market.
    pub fn step(&mut self, market: &mut MemoryMarket, books: &mut Ledger) -> Result<(), String> {
        let name = self.go(market, books)?;
        market
            .check()
            .map_err(|what| format!("after {name}: {what}"))
    }

    /// Takes one step and checks what it moved; gives its name.
    pub fn go(
        &mut self,
        market: &mut MemoryMarket,
        books: &mut Ledger,
    ) -> Result<&'static str, String> {
        let name = self.act(market, books)?;
        *self.counts.entry(name).or_default() += 1;
        self.look(market, books)
            .map_err(|what| format!("after {name}: {what}"))?;
        Ok(name)
    }

    /// Upgrades the market, and checks what that moved.
    pub fn upgrade_market(
        &mut self,
        market: &mut MemoryMarket,
        books: &mut Ledger,
    ) -> Result<(), String> {
        self.upgrade(market)?;
        self.look(market, books)
    }

    /// Lets every call come to its end without further faults, and a controller decide on the rest; nothing may be left.
    pub fn finish(&mut self, market: &mut MemoryMarket, books: &mut Ledger) -> Result<(), String> {
        for _ in 0..100 {
            while !self.flights.is_empty() {
                self.deliver_request(market)?;
                self.deliver_answer(market, false);
            }
            self.look(market, books)?;
            if market.jobs.stats().open_transfers == market.jobs.stats().quarantined {
                break;
            }
            market.stand_still(3_600_000_000_000);
            self.retry(market);
        }
        market.stand_still((limits::TRANSFER_SETTLED_SECONDS + 1) * 1_000_000_000);
        while market.jobs.stats().quarantined > 0 {
            self.resolve(market)?;
            self.look(market, books)?;
            market.check()?;
        }
        let stats = market.jobs.stats();
        let real = self.ledger.balance(&canister().into());
        if stats.open_transfers > 0 || stats.withdrawing > Cycles::ZERO {
            return Err(format!("{} transfers have no end", stats.open_transfers));
        }
        if real != stats.on_ledger.0 {
            return Err(format!(
                "the ledger has {real}, the books say {}",
                stats.on_ledger
            ));
        }
        Ok(())
    }

    fn act(
        &mut self,
        market: &mut MemoryMarket,
        books: &mut Ledger,
    ) -> Result<&'static str, String> {
        match self.rng.u32(..200) {
            0..22 => {
                let account = self.account();
                let amount = self.rng.u128(0..400_000_000);
                self.ledger.fund(&account, amount);
                Ok("fund")
            }
            22..26 => {
                let account = self.account();
                self.ledger.forbid(&account);
                Ok("forbid")
            }
            26..34 => {
                let (to, amount) = (self.person(), self.rng.u128(1..200_000_000));
                market.deposit(to, Cycles(amount));
                books.deposit(to, amount);
                Ok("deposit")
            }
            34..58 => self.deposit_from(market),
            58..88 => self.withdraw(market, books),
            88..114 => self.deliver_request(market),
            114..144 => Ok(self.deliver_answer(market, true)),
            144..152 => Ok(self.time_out(market)),
            152..155 => Ok(self.lose(market)),
            155..170 => {
                self.retry(market);
                Ok("retry")
            }
            170..187 if !self.alone => Ok("nothing"),
            170..180 => {
                market.stand_still(self.rng.u64(1..400) * 1_000_000_000);
                Ok("pass")
            }
            180..184 => {
                market.stand_still(self.rng.u64(1..12) * 3_600_000_000_000);
                Ok("pass hours")
            }
            184..187 => self.upgrade(market),
            187..190 => {
                self.ledger.fee = self.rng.u128(0..2_000_000);
                Ok("fee changes")
            }
            190..193 => {
                let (now, fee) = (market.now(), Cycles(self.ledger.fee));
                market.jobs.set_ledger_fee(now, fee);
                Ok("fee read")
            }
            193..197 => self.resolve(market),
            _ => Ok(self.repeat(market)),
        }
    }

    fn deposit_from(&mut self, market: &mut MemoryMarket) -> Result<&'static str, String> {
        let LedgerAccount { owner, subaccount } = self.account();
        let amount = self.rng.u128(5_000_000..200_000_000);
        let args = DepositFromArgs {
            amount: Cycles(amount),
            from_subaccount: subaccount,
        };
        let at = market.at(owner);
        match market.jobs.begin_deposit(&at, &args) {
            Ok(call) => {
                let known = Known {
                    account: owner,
                    deposit: true,
                    to_canister: false,
                    amount,
                    taken: 0,
                    end: None,
                };
                self.transfers.insert(call.transfer, known);
                self.call(market, call);
                Ok("deposit from")
            }
            Err(error) => self.expected(&error, owner, amount, market),
        }
    }

    fn withdraw(
        &mut self,
        market: &mut MemoryMarket,
        books: &mut Ledger,
    ) -> Result<&'static str, String> {
        let (owner, to_canister) = (self.person(), self.rng.u8(..3) == 0);
        let balance = books.balance(owner);
        let amount = match self.rng.u8(..4) {
            // All of it, and sometimes a bit more than that.
            0 => balance.saturating_sub(self.rng.u128(0..2_000_000)),
            _ => self.rng.u128(5_000_000..200_000_000),
        };
        let fee = market.jobs.ledger_fee().map_or(0, |fee| fee.0);
        let to = match to_canister {
            true => Destination::Canister(Principal::from_slice(&[7, 1, 1])),
            false => Destination::Ledger(self.account()),
        };
        let taken = amount + if to_canister { 0 } else { fee };
        let args = WithdrawArgs {
            amount: Cycles(amount),
            to,
        };
        let at = market.at(owner);
        match market.jobs.begin_withdrawal(&at, &args) {
            Ok(call) => {
                if balance < taken || (!to_canister && self.on_ledger < taken) {
                    return Err(format!(
                        "{taken} leave; the balance was {balance}, on the ledger are {}",
                        self.on_ledger
                    ));
                }
                books.withdraw(call.transfer.0, owner, taken);
                if !to_canister {
                    self.on_ledger -= taken;
                }
                let known = Known {
                    account: owner,
                    deposit: false,
                    to_canister,
                    amount,
                    taken,
                    end: None,
                };
                self.transfers.insert(call.transfer, known);
                self.call(market, call);
                Ok("withdraw")
            }
            Err(MoneyError::InsufficientFunds { .. }) if balance < taken => Ok("too poor"),
            Err(MoneyError::LedgerShort { .. }) if !to_canister && self.on_ledger < taken => {
                Ok("ledger short")
            }
            Err(MoneyError::CyclesShort { there, .. }) if to_canister && there.0 < taken => {
                Ok("cycles short")
            }
            Err(MoneyError::LedgerFeeUnknown) if !to_canister => Ok("fee unknown"),
            Err(error) => self.expected(&error, owner, amount, market),
        }
    }

    /// Whether a refusal that both ways have is right.
    fn expected(
        &self,
        error: &MoneyError,
        owner: Principal,
        amount: u128,
        market: &MemoryMarket,
    ) -> Result<&'static str, String> {
        let open = self.transfers.values();
        let open = open.filter(|known| known.account == owner && known.end.is_none());
        let fee = market.jobs.ledger_fee().map_or(0, |fee| fee.0);
        match error {
            MoneyError::TooSmall { .. } if amount < limits::TRANSFER_CYCLES_MIN.max(fee + 1) => {
                Ok("too small")
            }
            MoneyError::TooManyTransfers { .. }
                if open.count() >= limits::OPEN_TRANSFERS_PER_ACCOUNT_MAX as usize =>
            {
                Ok("too many")
            }
            error => Err(format!("refused: {error}")),
        }
    }

    /// A controller looks at the ledger and decides on one quarantined transfer.
    fn resolve(&mut self, market: &mut MemoryMarket) -> Result<&'static str, String> {
        let page = market.jobs.transfers(&TransfersArgs {
            account: None,
            open: true,
            before: None,
            limit: limits::PAGE_MAX,
        });
        let mut quarantined = page
            .iter()
            .filter(|transfer| transfer.state == TransferState::Quarantined);
        let Some(transfer) = quarantined.next() else {
            return Ok("nothing to resolve");
        };
        let id = transfer.id;
        let attached = |flight: &Flight| flight.attaches() && flight.call.transfer == id;
        if self.flights.iter().any(attached) {
            return Ok("under way");
        }
        let (now, happened) = (market.now(), self.ledger.executed(id) > 0);
        let until = transfer
            .begun_at
            .plus_seconds(limits::TRANSFER_SETTLED_SECONDS);
        match market.jobs.resolve_transfer(now, id, happened) {
            Ok(_) => Ok("resolve"),
            Err(MoneyError::NotSettled { .. }) if !happened && now <= until => {
                Ok("not settled yet")
            }
            Err(error) => Err(format!("resolve: {error}")),
        }
    }

    /// Compares what the market says with what happened.
    fn look(&mut self, market: &mut MemoryMarket, books: &mut Ledger) -> Result<(), String> {
        let (mut came, mut went) = (0, 0);
        for (&id, known) in self
            .transfers
            .iter_mut()
            .filter(|(_, known)| known.end.is_none())
        {
            let view = market.jobs.transfer(id).ok_or("a transfer is gone")?;
            let deposit = matches!(view.kind, TransferKind::Deposit { .. });
            if (view.account, view.amount.0, deposit)
                != (known.account, known.amount, known.deposit)
            {
                return Err(format!("transfer {id} is another: {view:?}"));
            }
            let times = self.ledger.executed(id);
            let happened = match view.state {
                TransferState::Done { .. } => true,
                TransferState::Failed(_) => false,
                TransferState::Pending | TransferState::Quarantined => {
                    if times == 1 && !known.to_canister {
                        came += if deposit { known.amount } else { 0 };
                        went += known.taken;
                    }
                    continue;
                }
            };
            if u32::from(happened) != times {
                return Err(format!(
                    "transfer {id} happened {times} times: {:?}",
                    view.state
                ));
            }
            known.end = Some(happened);
            if deposit {
                if happened {
                    books.deposit(known.account, known.amount);
                    self.on_ledger += known.amount;
                }
            } else {
                books.end_withdrawal(id.0, happened)?;
                if !happened && !known.to_canister {
                    self.on_ledger += known.taken;
                }
            }
        }
        let meta = market.jobs.store().meta.get();
        let real = self.ledger.balance(&canister().into());
        if meta.on_ledger.0 + came != real + went {
            return Err(format!(
                "the ledger has {real}; the books say {}, and {came} came and {went} went unheard of",
                meta.on_ledger
            ));
        }
        if books.out() != (meta.withdrawing.0, meta.withdrawn.0) {
            return Err(format!(
                "{:?} are on their way and gone, counted {} and {}",
                books.out(),
                meta.withdrawing,
                meta.withdrawn
            ));
        }
        for person in &self.people {
            let (balance, expected) = (market.balance(*person), books.balance(*person));
            if balance.0 != expected {
                return Err(format!("{person} has {balance}, expected {expected}"));
            }
        }
        Ok(())
    }

    fn person(&mut self) -> Principal {
        self.people[self.rng.usize(..self.people.len())]
    }

    fn account(&mut self) -> LedgerAccount {
        let subaccount = match self.rng.u8(..4) {
            0 => Some(ByteBuf::from([1; limits::SUBACCOUNT_BYTES])),
            1 => Some(ByteBuf::from([0; limits::SUBACCOUNT_BYTES])),
            _ => None,
        };
        LedgerAccount {
            owner: self.person(),
            subaccount,
        }
    }
}
