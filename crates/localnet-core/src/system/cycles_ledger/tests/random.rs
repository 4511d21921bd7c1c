//! Random operations against a plain model: what it says succeeds, succeeds; what is refused changes nothing.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::system::cycles_ledger::types::{
    CreateCanisterArgs, CreateCanisterError, CreateCanisterSuccess, WithdrawArgs, WithdrawError,
};

const USERS: u8 = 3;
const ACCOUNTS: u8 = 2;
/// A canister that exists, and one that does not.
const THERE: u8 = 1;
const GONE: u8 = 2;

#[derive(Clone, Debug)]
enum Step {
    Deposit(Who, u128),
    Transfer(Who, Who, u128, Option<u64>),
    Approve(Who, Who, u128, Option<u64>),
    TransferFrom(Who, Who, Who, u128),
    Withdraw(Who, u8, u128),
    Create(Who, u128),
    Wait(u64),
}

/// A user and one of its accounts.
type Who = (u8, u8);

#[derive(Default)]
struct Model {
    balances: BTreeMap<Who, u128>,
    allowances: BTreeMap<(Who, Who), (u128, Option<u64>)>,
    sent: BTreeMap<(Who, Who, u128, u64), u64>,
}

fn who() -> impl Strategy<Value = Who> {
    (0..USERS, 0..ACCOUNTS)
}

fn amount() -> impl Strategy<Value = u128> {
    prop_oneof![
        0..20_u128,
        (0..30_u128).prop_map(|fees| fees * FEE),
        (0..20 * FEE),
        (90..110_u128).prop_map(|hundredths| hundredths * T / 1_000),
        Just(u128::MAX),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let soon = || proptest::option::of(0..4_u64);
    prop_oneof![
        3 => (who(), amount()).prop_map(|(to, amount)| Step::Deposit(to, amount.min(T))),
        4 => (who(), who(), amount(), soon()).prop_map(|(a, b, c, d)| Step::Transfer(a, b, c, d)),
        3 => (who(), who(), amount(), soon()).prop_map(|(a, b, c, d)| Step::Approve(a, b, c, d)),
        4 => (who(), who(), who(), amount()).prop_map(|(a, b, c, d)| Step::TransferFrom(a, b, c, d)),
        2 => (who(), prop_oneof![Just(THERE), Just(GONE)], amount()).prop_map(|(a, b, c)| Step::Withdraw(a, b, c)),
        2 => (who(), amount()).prop_map(|(a, b)| Step::Create(a, b)),
        1 => prop_oneof![1..4_u64, Just(WINDOW_NANOS)].prop_map(Step::Wait),
    ]
}

fn account((user, account): Who) -> WireAccount {
    if account == 0 {
        wire(user)
    } else {
        sub(user, account)
    }
}

fn subaccount((_, account): Who) -> Option<ByteBuf> {
    (account > 0).then(|| ByteBuf::from(vec![account; 32]))
}

impl Model {
    fn balance(&self, who: Who) -> u128 {
        self.balances.get(&who).copied().unwrap_or(0)
    }

    fn has(&self, who: Who, amount: u128) -> bool {
        amount
            .checked_add(FEE)
            .is_some_and(|total| self.balance(who) >= total)
    }

    fn change(&mut self, who: Who, by: impl FnOnce(u128) -> u128) {
        let balance = by(self.balance(who));
        self.balances.insert(who, balance);
    }

    /// Makes one step on both sides.
    fn step(&mut self, bank: &mut Bank, step: Step) {
        let before = bank.clone();
        let total = bank.world.total();
        let mut came = 0;
        let done = match step {
            Step::Deposit(to, cycles) => {
                let result = bank.deposit(&account(to), cycles, None);
                assert_eq!(result.is_ok(), cycles > FEE);
                if result.is_ok() {
                    came = cycles;
                    self.change(to, |balance| balance + cycles - FEE);
                }
                result.is_ok()
            }
            Step::Transfer(from, to, amount, created) => {
                self.transfer(bank, from, to, amount, created)
            }
            Step::Approve(from, spender, amount, lasts) => {
                self.approve(bank, from, spender, amount, lasts)
            }
            Step::TransferFrom(spender, from, to, amount) => {
                self.transfer_from(bank, spender, from, to, amount)
            }
            Step::Withdraw(from, to, amount) => self.withdraw(bank, from, to, amount),
            Step::Create(from, amount) => self.create(bank, from, amount),
            Step::Wait(nanos) => {
                bank.now += nanos;
                true
            }
        };
        if !done {
            assert_eq!(*bank, before, "refused, yet something changed");
        }
        assert_eq!(bank.world.total(), total + came, "cycles came or went");
        bank.audit();
        for user in 0..USERS {
            for number in 0..ACCOUNTS {
                let who = (user, number);
                assert_eq!(bank.balance(&account(who)), self.balance(who), "{who:?}");
            }
        }
    }

    fn transfer(
        &mut self,
        bank: &mut Bank,
        from: Who,
        to: Who,
        amount: u128,
        created: Option<u64>,
    ) -> bool {
        // Times are taken from a coarse clock, so that some transfers are repeated.
        let created = created.map(|back| bank.now - bank.now % 100 - back);
        let args = TransferArgs {
            from_subaccount: subaccount(from),
            created_at_time: created,
            ..transfer(&account(to), amount)
        };
        let result: Transferred = bank.update(user(from.0), "icrc1_transfer", args).unwrap();
        let key = created.map(|created| (from, to, amount, created));
        if let Some(block) = key.and_then(|key| self.sent.get(&key)) {
            let duplicate_of = Nat::from(*block);
            assert_eq!(result, Err(TransferError::Duplicate { duplicate_of }));
            return false;
        }
        if !self.has(from, amount) {
            let balance = Nat::from(self.balance(from));
            assert_eq!(result, Err(TransferError::InsufficientFunds { balance }));
            return false;
        }
        let block = u64::try_from(&result.unwrap().0).unwrap();
        if let Some(key) = key {
            self.sent.insert(key, block);
        }
        self.change(from, |balance| balance - amount - FEE);
        self.change(to, |balance| balance + amount);
        true
    }

    fn approve(
        &mut self,
        bank: &mut Bank,
        from: Who,
        spender: Who,
        amount: u128,
        lasts: Option<u64>,
    ) -> bool {
        let expires_at = lasts.map(|nanos| bank.now + nanos);
        let args = ApproveArgs {
            from_subaccount: subaccount(from),
            expires_at,
            ..approve(&account(spender), amount)
        };
        let result: Result<Approved, _> = bank.update(user(from.0), "icrc2_approve", args);
        if from.0 == spender.0 {
            assert!(result.is_err());
            return false;
        }
        let result = result.unwrap();
        assert_eq!(
            result.is_ok(),
            lasts != Some(0) && self.balance(from) >= FEE,
            "{result:?}"
        );
        if result.is_ok() {
            self.change(from, |balance| balance - FEE);
            self.allowances
                .insert((from, spender), (amount, expires_at));
        }
        result.is_ok()
    }

    fn transfer_from(
        &mut self,
        bank: &mut Bank,
        spender: Who,
        from: Who,
        to: Who,
        amount: u128,
    ) -> bool {
        let args = TransferFromArgs {
            spender_subaccount: subaccount(spender),
            ..transfer_from(&account(from), &account(to), amount)
        };
        let result: TransferredFrom = bank
            .update(user(spender.0), "icrc2_transfer_from", args)
            .unwrap();
        let allowed = self
            .allowances
            .get(&(from, spender))
            .filter(|(_, expires)| expires.is_none_or(|expires| expires > bank.now))
            .map_or(0, |(amount, _)| *amount);
        let may = spender == from
            || amount
                .checked_add(FEE)
                .is_some_and(|total| total <= allowed);
        assert_eq!(result.is_ok(), may && self.has(from, amount), "{result:?}");
        if result.is_ok() {
            if spender != from
                && let Some((left, _)) = self.allowances.get_mut(&(from, spender))
            {
                *left -= amount + FEE;
            }
            self.change(from, |balance| balance - amount - FEE);
            self.change(to, |balance| balance + amount);
        }
        result.is_ok()
    }

    fn withdraw(&mut self, bank: &mut Bank, from: Who, to: u8, amount: u128) -> bool {
        let args = WithdrawArgs {
            amount: amount.into(),
            from_subaccount: subaccount(from),
            to: canister(to),
            created_at_time: None,
        };
        let result: Result<Nat, WithdrawError> =
            bank.update(user(from.0), "withdraw", args).unwrap();
        if amount == 0 || !self.has(from, amount) {
            assert!(result.is_err());
            return false;
        }
        let back = match result {
            Ok(_) => {
                assert_eq!(to, THERE);
                0
            }
            Err(WithdrawError::FailedToWithdraw { .. }) => {
                assert_eq!(to, GONE);
                amount.saturating_sub(FEE)
            }
            Err(other) => panic!("{other:?}"),
        };
        self.change(from, |balance| balance - amount - FEE + back);
        true
    }

    fn create(&mut self, bank: &mut Bank, from: Who, amount: u128) -> bool {
        let args = CreateCanisterArgs {
            from_subaccount: subaccount(from),
            created_at_time: None,
            amount: amount.into(),
            creation_args: None,
        };
        let result: Result<CreateCanisterSuccess, CreateCanisterError> =
            bank.update(user(from.0), "create_canister", args).unwrap();
        if !self.has(from, amount) {
            assert!(result.is_err());
            return false;
        }
        let back = if amount >= T / 10 {
            assert!(result.is_ok());
            0
        } else {
            assert!(
                matches!(result, Err(CreateCanisterError::FailedToCreate { .. })),
                "{result:?}"
            );
            amount.saturating_sub(FEE)
        };
        self.change(from, |balance| balance - amount - FEE + back);
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn balances_are_those_of_the_model_and_no_cycle_is_lost(steps in prop::collection::vec(step(), 1..60)) {
        let mut bank = Bank::new();
        bank.world.others.insert(canister(THERE), 0);
        let mut model = Model::default();
        for step in steps {
            model.step(&mut bank, step);
        }
    }
}
