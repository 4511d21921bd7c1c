//! What callers of the cycles ledger see.

mod random;
mod spending;

use candid::{CandidType, Nat, Principal};
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;

use super::{
    types::{
        BlockRange, Blocks, DepositArgs, DepositResult, GetAllowancesArgs, GetAllowancesError,
        ListedAllowance,
    },
    *,
};
use crate::{
    limits,
    system::{
        account::WireAccount,
        icrc::{AllowanceArgs, WireAllowance},
        testing::{NOW, Numbers, SECOND, call, canister, encode, read, user},
        window::WINDOW_NANOS,
    },
};

const T: u128 = 1_000_000_000_000;

/// A ledger and the cycles around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bank {
    pub(super) ledger: CyclesLedger,
    pub(super) world: Numbers,
    pub(super) now: u64,
}

impl Bank {
    pub(super) fn new() -> Self {
        Self {
            ledger: CyclesLedger::new(),
            world: Numbers::default(),
            now: NOW,
        }
    }

    /// With cycles in the first account of the first user.
    pub(super) fn funded(cycles: u128) -> Self {
        let mut bank = Self::new();
        bank.deposit(&wire(1), cycles + FEE, None).unwrap();
        bank
    }

    pub(super) fn update<T: CandidType + DeserializeOwned>(
        &mut self,
        caller: Principal,
        method: &str,
        arg: impl CandidType,
    ) -> Result<T, String> {
        let arg = encode(arg);
        let call = call(caller, self.now, &arg);
        let answer = self.ledger.update(method, &call, &mut self.world);
        self.audit();
        read(answer)
    }

    pub(super) fn query<T: CandidType + DeserializeOwned>(
        &self,
        method: &str,
        arg: impl CandidType,
    ) -> Result<T, String> {
        let arg = encode(arg);
        read(self.ledger.query(method, &call(user(9), self.now, &arg)))
    }

    pub(super) fn deposit(
        &mut self,
        to: &WireAccount,
        cycles: u128,
        memo: Option<Vec<u8>>,
    ) -> Result<DepositResult, String> {
        self.world.available += cycles;
        let args = DepositArgs {
            to: to.clone(),
            memo: memo.map(ByteBuf::from),
        };
        let result = self.update(canister(1), "deposit", args);
        self.world.available = 0;
        result
    }

    pub(super) fn balance(&self, of: &WireAccount) -> u128 {
        let nat: Nat = self.query("icrc1_balance_of", of).unwrap();
        u128::try_from(&nat.0).unwrap()
    }

    pub(super) fn audit(&self) {
        self.ledger.book.audit();
        assert_eq!(self.world.own, self.ledger.book.supply());
    }
}

pub(super) fn wire(number: u8) -> WireAccount {
    Account::of(user(number)).wire()
}

pub(super) fn sub(number: u8, subaccount: u8) -> WireAccount {
    WireAccount {
        owner: user(number),
        subaccount: Some(ByteBuf::from(vec![subaccount; 32])),
    }
}

pub(super) fn transfer(to: &WireAccount, amount: u128) -> TransferArgs {
    TransferArgs {
        from_subaccount: None,
        to: to.clone(),
        amount: amount.into(),
        fee: None,
        memo: None,
        created_at_time: None,
    }
}

pub(super) fn approve(spender: &WireAccount, amount: u128) -> ApproveArgs {
    ApproveArgs {
        from_subaccount: None,
        spender: spender.clone(),
        amount: amount.into(),
        expected_allowance: None,
        expires_at: None,
        fee: None,
        memo: None,
        created_at_time: None,
    }
}

pub(super) fn transfer_from(
    from: &WireAccount,
    to: &WireAccount,
    amount: u128,
) -> TransferFromArgs {
    TransferFromArgs {
        spender_subaccount: None,
        from: from.clone(),
        to: to.clone(),
        amount: amount.into(),
        fee: None,
        memo: None,
        created_at_time: None,
    }
}

type Transferred = Result<Nat, TransferError>;
type TransferredFrom = Result<Nat, TransferFromError>;
type Approved = Result<Nat, ApproveError>;

fn block(index: u64) -> Nat {
    index.into()
}

#[test]
fn a_transfer_moves_cycles_and_burns_the_fee() {
    let mut bank = Bank::funded(T);
    let to = sub(2, 7);
    let result: Transferred = bank
        .update(user(1), "icrc1_transfer", transfer(&to, T / 2))
        .unwrap();
    assert_eq!(result, Ok(block(1)));
    assert_eq!(bank.balance(&to), T / 2);
    assert_eq!(bank.balance(&wire(1)), T / 2 - FEE);
    assert_eq!(bank.world.burned, 2 * FEE);
    let supply: Nat = bank.query("icrc1_total_supply", ()).unwrap();
    assert_eq!(supply, Nat::from(T - FEE));
}

#[test]
fn all_but_the_fee_can_be_transferred_and_not_one_cycle_more() {
    let mut bank = Bank::funded(T);
    let result: Transferred = bank
        .update(user(1), "icrc1_transfer", transfer(&wire(2), T - FEE + 1))
        .unwrap();
    assert_eq!(
        result,
        Err(TransferError::InsufficientFunds { balance: T.into() })
    );
    let result: Transferred = bank
        .update(user(1), "icrc1_transfer", transfer(&wire(2), T - FEE))
        .unwrap();
    assert_eq!(result, Ok(block(1)));
    for amount in [Nat::from(u128::MAX), Nat::from(u128::MAX) + 1_u8] {
        let args = TransferArgs {
            amount,
            ..transfer(&wire(1), 0)
        };
        let result: Transferred = bank.update(user(2), "icrc1_transfer", args).unwrap();
        let balance = (T - FEE).into();
        assert_eq!(result, Err(TransferError::InsufficientFunds { balance }));
    }
}

#[test]
fn another_fee_than_the_ledgers_is_refused() {
    let mut bank = Bank::funded(T);
    let with = |fee: Nat| TransferArgs {
        fee: Some(fee),
        ..transfer(&wire(2), 1)
    };
    let expected_fee = Nat::from(FEE);
    for fee in [
        Nat::from(0_u8),
        Nat::from(FEE - 1),
        Nat::from(u128::MAX) + 1_u8,
    ] {
        let result: Transferred = bank.update(user(1), "icrc1_transfer", with(fee)).unwrap();
        let expected_fee = expected_fee.clone();
        assert_eq!(result, Err(TransferError::BadFee { expected_fee }));
    }
    let result: Transferred = bank
        .update(user(1), "icrc1_transfer", with(expected_fee))
        .unwrap();
    assert_eq!(result, Ok(block(1)));
}

#[test]
fn a_repeated_transfer_is_a_duplicate_for_a_day() {
    let mut bank = Bank::funded(T);
    let args = TransferArgs {
        created_at_time: Some(NOW),
        memo: Some(ByteBuf::from(vec![1])),
        ..transfer(&wire(2), 1)
    };
    let send = |bank: &mut Bank, args: &TransferArgs| -> Transferred {
        bank.update(user(1), "icrc1_transfer", args.clone())
            .unwrap()
    };
    let duplicate = Err(TransferError::Duplicate {
        duplicate_of: block(1),
    });
    assert_eq!(send(&mut bank, &args), Ok(block(1)));
    assert_eq!(send(&mut bank, &args), duplicate);
    let other = TransferArgs {
        memo: Some(ByteBuf::from(vec![2])),
        ..args.clone()
    };
    assert_eq!(send(&mut bank, &other), Ok(block(2)), "another memo");
    let none = TransferArgs {
        created_at_time: None,
        ..args.clone()
    };
    assert_eq!(send(&mut bank, &none), Ok(block(3)), "no time of creation");
    assert_eq!(send(&mut bank, &none), Ok(block(4)));
    bank.now += WINDOW_NANOS + 60 * SECOND;
    assert_eq!(send(&mut bank, &args), duplicate);
    bank.now += 1;
    assert_eq!(send(&mut bank, &none), Ok(block(5)));
    assert_eq!(send(&mut bank, &args), Err(TransferError::TooOld));
}

#[test]
fn transfers_from_the_future_are_refused() {
    let mut bank = Bank::funded(T);
    let at = |time| TransferArgs {
        created_at_time: Some(time),
        ..transfer(&wire(2), 1)
    };
    let result: Transferred = bank
        .update(user(1), "icrc1_transfer", at(NOW + 60 * SECOND + 1))
        .unwrap();
    assert_eq!(
        result,
        Err(TransferError::CreatedInFuture { ledger_time: NOW })
    );
    let result: Transferred = bank
        .update(user(1), "icrc1_transfer", at(NOW + 60 * SECOND))
        .unwrap();
    assert_eq!(result, Ok(block(1)));
}

#[test]
fn long_memos_and_malformed_subaccounts_and_arguments_trap() {
    let mut bank = Bank::funded(T);
    let memo = |len| TransferArgs {
        memo: Some(ByteBuf::from(vec![1; len])),
        ..transfer(&wire(2), 1)
    };
    let before = bank.clone();
    assert_eq!(
        bank.update::<Transferred>(user(1), "icrc1_transfer", memo(33)),
        Err("memo length exceeds the maximum of 32 bytes".to_owned())
    );
    let short = TransferArgs {
        from_subaccount: Some(ByteBuf::from(vec![1; 31])),
        ..transfer(&wire(2), 1)
    };
    assert_eq!(
        bank.update::<Transferred>(user(1), "icrc1_transfer", short),
        Err("a subaccount has 32 bytes, this one has 31".to_owned())
    );
    let trap = bank
        .update::<Transferred>(user(1), "icrc1_transfer", "nonsense")
        .unwrap_err();
    assert!(
        trap.starts_with("failed to decode call arguments: "),
        "{trap}"
    );
    assert_eq!(bank, before);
    assert!(
        bank.update::<Transferred>(user(1), "icrc1_transfer", memo(32))
            .unwrap()
            .is_ok()
    );
}

#[test]
fn the_management_canister_holds_nothing() {
    let mut bank = Bank::funded(T);
    let nobody = Account::of(Principal::management_canister()).wire();
    let result: Transferred = bank
        .update(user(1), "icrc1_transfer", transfer(&nobody, 1))
        .unwrap();
    assert_eq!(
        result,
        Err(TransferError::GenericError {
            error_code: Nat::from(100_001_u32),
            message: "Owner of the account aaaaa-aa cannot be part of transactions".to_owned()
        })
    );
}

#[test]
fn a_deposit_must_be_worth_more_than_the_fee() {
    let mut bank = Bank::new();
    let texts = [FEE - 1, FEE].map(|cycles| bank.deposit(&wire(1), cycles, None).unwrap_err());
    assert_eq!(
        texts,
        [
            "The requested amount 99999999 to be deposited is less than the cycles ledger fee: 100000000",
            "Cannot deposit 0 cycles (amount: 100000000, cycles ledger fee: 100000000)"
        ]
    );
    assert!(bank.deposit(&wire(1), T, Some(vec![0; 33])).is_err());
    assert_eq!(bank, Bank::new());
    let deposited = bank.deposit(&wire(1), FEE + 1, Some(vec![0; 32])).unwrap();
    assert_eq!(
        deposited,
        DepositResult {
            balance: Nat::from(1_u8),
            block_index: block(0)
        }
    );
}

#[test]
fn a_spender_takes_what_was_allowed_fees_included() {
    let mut bank = Bank::funded(T);
    let approved: Approved = bank
        .update(user(1), "icrc2_approve", approve(&wire(2), 10 * FEE))
        .unwrap();
    assert_eq!(approved, Ok(block(1)));
    let take = |bank: &mut Bank, amount| -> TransferredFrom {
        let args = transfer_from(&wire(1), &wire(3), amount);
        bank.update(user(2), "icrc2_transfer_from", args).unwrap()
    };
    assert_eq!(
        take(&mut bank, 9 * FEE + 1),
        Err(TransferFromError::InsufficientAllowance {
            allowance: (10 * FEE).into()
        })
    );
    assert_eq!(take(&mut bank, 4 * FEE), Ok(block(2)));
    let args = AllowanceArgs {
        account: wire(1),
        spender: wire(2),
    };
    let left: WireAllowance = bank.query("icrc2_allowance", args).unwrap();
    assert_eq!(left.allowance, Nat::from(5 * FEE));
    assert_eq!(take(&mut bank, 4 * FEE), Ok(block(3)));
    assert_eq!(
        take(&mut bank, 0),
        Err(TransferFromError::InsufficientAllowance {
            allowance: 0_u8.into()
        })
    );
    assert_eq!(bank.balance(&wire(1)), T - FEE - 10 * FEE);
}

#[test]
fn an_allowance_ends_at_its_time() {
    let mut bank = Bank::funded(T);
    let until = |time| ApproveArgs {
        expires_at: Some(time),
        ..approve(&wire(2), T)
    };
    let approved: Approved = bank.update(user(1), "icrc2_approve", until(NOW)).unwrap();
    assert_eq!(approved, Err(ApproveError::Expired { ledger_time: NOW }));
    let approved: Approved = bank
        .update(user(1), "icrc2_approve", until(NOW + 10))
        .unwrap();
    assert_eq!(approved, Ok(block(1)));
    let take = |bank: &mut Bank| -> TransferredFrom {
        let args = transfer_from(&wire(1), &wire(3), 1);
        bank.update(user(2), "icrc2_transfer_from", args).unwrap()
    };
    bank.now = NOW + 9;
    assert_eq!(take(&mut bank), Ok(block(2)));
    bank.now = NOW + 10;
    assert_eq!(
        take(&mut bank),
        Err(TransferFromError::GenericError {
            error_code: Nat::from(100_003_u32),
            message: "Approval has expired".to_owned()
        })
    );
    let args = AllowanceArgs {
        account: wire(1),
        spender: wire(2),
    };
    let left: WireAllowance = bank.query("icrc2_allowance", args).unwrap();
    assert_eq!(
        left,
        WireAllowance {
            allowance: 0_u8.into(),
            expires_at: None
        }
    );
}

#[test]
fn an_approval_states_what_it_expects() {
    let mut bank = Bank::funded(T);
    let expecting = |expected: Nat| ApproveArgs {
        expected_allowance: Some(expected),
        ..approve(&wire(2), 7)
    };
    for wrong in [Nat::from(1_u8), Nat::from(u128::MAX) + 1_u8] {
        let approved: Approved = bank
            .update(user(1), "icrc2_approve", expecting(wrong))
            .unwrap();
        let current_allowance = Nat::from(0_u8);
        assert_eq!(
            approved,
            Err(ApproveError::AllowanceChanged { current_allowance })
        );
    }
    let approved: Approved = bank
        .update(user(1), "icrc2_approve", expecting(0_u8.into()))
        .unwrap();
    assert_eq!(approved, Ok(block(1)));
    let approved: Approved = bank
        .update(user(1), "icrc2_approve", expecting(7_u8.into()))
        .unwrap();
    assert_eq!(approved, Ok(block(2)));
    let poor: Approved = bank
        .update(user(5), "icrc2_approve", approve(&wire(2), 1))
        .unwrap();
    let balance = Nat::from(0_u8);
    assert_eq!(poor, Err(ApproveError::InsufficientFunds { balance }));
    let own: Result<Approved, _> = bank.update(user(1), "icrc2_approve", approve(&sub(1, 3), 1));
    assert_eq!(own, Err("self approval is not allowed".to_owned()));
}

#[test]
fn an_owner_needs_no_allowance_for_its_own_account() {
    let mut bank = Bank::funded(T);
    let args = transfer_from(&wire(1), &wire(2), 5);
    let result: TransferredFrom = bank.update(user(1), "icrc2_transfer_from", args).unwrap();
    assert_eq!(result, Ok(block(1)));
}

#[test]
fn allowances_are_listed_in_order_and_in_pages() {
    let mut bank = Bank::funded(T);
    for spender in 2..6 {
        let approved: Approved = bank
            .update(user(1), "icrc2_approve", approve(&wire(spender), 1))
            .unwrap();
        assert!(approved.is_ok());
    }
    type Listed = Result<Vec<ListedAllowance>, GetAllowancesError>;
    let list = |bank: &Bank, after: Option<WireAccount>, take: Option<Nat>| {
        let args = GetAllowancesArgs {
            from_account: Some(wire(1)),
            prev_spender: after,
            take,
        };
        let listed: Listed = bank.query("icrc103_get_allowances", args).unwrap();
        listed.unwrap()
    };
    let all = list(&bank, None, None);
    assert_eq!(all.len(), 4);
    let first = list(&bank, None, Some(3_u8.into()));
    assert_eq!(first, all[..3]);
    let rest = list(&bank, Some(first[2].to_spender.clone()), None);
    assert_eq!(rest, all[3..]);
}

#[test]
fn blocks_are_chained_and_given_in_pages() {
    let mut bank = Bank::funded(T);
    for _ in 0..limits::LEDGER_BLOCKS_PER_ANSWER_MAX {
        let result: Transferred = bank
            .update(user(1), "icrc1_transfer", transfer(&wire(2), 1))
            .unwrap();
        assert!(result.is_ok());
    }
    let range = |start: u64, length: u64| BlockRange {
        start: start.into(),
        length: length.into(),
    };
    let all: Blocks = bank
        .query("icrc3_get_blocks", vec![range(0, 1_000)])
        .unwrap();
    assert_eq!(all.log_length, Nat::from(101_u8));
    assert_eq!(all.blocks.len(), limits::LEDGER_BLOCKS_PER_ANSWER_MAX);
    let parent = all.blocks[99].block.hash();
    let last: Blocks = bank
        .query(
            "icrc3_get_blocks",
            vec![range(u64::MAX, 5), range(100, 5), range(200, 1)],
        )
        .unwrap();
    let [last] = &last.blocks[..] else {
        panic!("{last:?}")
    };
    assert_eq!(last.id, Nat::from(100_u8));
    let crate::system::value::Value::Map(entries) = &last.block else {
        panic!("{last:?}")
    };
    let phash = entries.iter().find(|(name, _)| name == "phash").unwrap();
    assert_eq!(phash.1, crate::system::value::Value::blob(&parent));
}

#[test]
fn it_says_what_it_is() {
    let bank = Bank::new();
    assert_eq!(bank.query("icrc1_symbol", ()), Ok("TCYCLES".to_owned()));
    assert_eq!(
        bank.query("icrc1_name", ()),
        Ok("Trillion Cycles".to_owned())
    );
    assert_eq!(bank.query("icrc1_decimals", ()), Ok(12_u8));
    assert_eq!(bank.query("icrc1_fee", ()), Ok(Nat::from(100_000_000_u32)));
    assert_eq!(
        bank.query("icrc1_minting_account", ()),
        Ok(None::<WireAccount>)
    );
    let metadata: Vec<icrc::Metadata> = bank.query("icrc1_metadata", ()).unwrap();
    assert_eq!(metadata.len(), 5);
    let standards: Vec<icrc::Standard> = bank.query("icrc1_supported_standards", ()).unwrap();
    assert!(standards.iter().any(|standard| standard.name == "ICRC-2"));
}
