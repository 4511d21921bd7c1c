//! Money that comes from a ledger and leaves, on three kinds of ledger: the network's own cycles ledger, a ledger that
//! misbehaves as it is told, and a module of which `ASSAY_ICRC_LEDGER_WASM` names the file.

use assay_jobs_core::testing::{requester, stranger};
use assay_protocol::{
    Cycles, TransferId,
    money::{
        DepositFromArgs, Destination, LedgerAccount, LedgerView, MoneyError, TransferState,
        TransferView, TransfersArgs, WithdrawArgs,
    },
};
use assay_tests::networks;
use candid::{CandidType, Nat, Principal, Reserved, encode_one};
use pocket_ic::common::rest::{IcpFeatures, IcpFeaturesConfig};
use serde_bytes::ByteBuf;

use crate::chain::{Chain, admin};

mod faults;
mod other;

/// Where the file of another ledger's module is named.
const OTHER_LEDGER: &str = "ASSAY_ICRC_LEDGER_WASM";
/// The cycles ledger, which every network with that feature has.
const CYCLES_LEDGER: &str = "um5iw-rqaaa-aaaaq-qaaba-cai";
/// What the ledgers take for a transfer.
pub(crate) const FEE: u128 = 100_000_000;
pub(crate) const TRILLION: u128 = 1_000_000_000_000;

/// Install arguments of which only this one is given.
#[derive(Clone, Copy, Debug, CandidType)]
struct LedgerArgs {
    ledger: Option<Principal>,
}

#[derive(Clone, Debug, CandidType)]
struct ApproveArgs {
    spender: LedgerAccount,
    amount: Nat,
}

#[derive(Clone, Debug, CandidType)]
struct TransferArg {
    to: LedgerAccount,
    amount: Nat,
}

/// A market with a ledger on which requester 0 has ten trillion cycles.
pub(crate) struct Bank {
    pub(crate) chain: Chain,
    pub(crate) ledger: Principal,
}

impl Bank {
    /// On the ledger that is told how to behave, or the module that is named.
    pub(crate) fn new(seed: u64) -> Self {
        let mut chain = Chain::bare(seed);
        let ledger = match std::env::var_os(OTHER_LEDGER) {
            Some(path) => other::ledger(&chain, &std::fs::read(path).unwrap()),
            None => scripted(&mut chain),
        };
        Self::with(chain, ledger)
    }

    /// On the ledger that is told how to behave.
    pub(crate) fn scripted(seed: u64) -> Self {
        let mut chain = Chain::bare(seed);
        let ledger = scripted(&mut chain);
        Self::with(chain, ledger)
    }

    /// On the network's cycles ledger.
    pub(crate) fn on_cycles_ledger(seed: u64) -> Self {
        let features = IcpFeatures {
            cycles_token: Some(IcpFeaturesConfig::DefaultConfig),
            ..IcpFeatures::default()
        };
        let network = networks()
            .with_application_subnet()
            .with_icp_features(features)
            .build();
        let mut chain = Chain::on(network, seed);
        let ledger = Principal::from_text(CYCLES_LEDGER).unwrap();
        // The anonymous principal has what there is.
        let arg = TransferArg {
            to: requester(0).into(),
            amount: Nat::from(10 * TRILLION),
        };
        let told: Result<Nat, Reserved> =
            chain.update(Principal::anonymous(), ledger, "icrc1_transfer", (arg,));
        told.unwrap();
        Self::with(chain, ledger)
    }

    pub(crate) fn with(mut chain: Chain, ledger: Principal) -> Self {
        let args = LedgerArgs {
            ledger: Some(ledger),
        };
        chain.jobs = chain.install("jobs", &encode_one(Some(args)).unwrap());
        chain.purse = chain.install("purse", &candid::encode_args(()).unwrap());
        chain.rest();
        Self { chain, ledger }
    }

    /// On a market that is there and has no ledger yet: it is told of one that does as it should.
    pub(crate) fn beside(mut chain: Chain) -> Self {
        let ledger = scripted(&mut chain);
        let args = LedgerArgs {
            ledger: Some(ledger),
        };
        chain.upgrade_stopped(chain.jobs, "jobs", &encode_one(Some(args)).unwrap());
        Self { chain, ledger }
    }

    /// Lets the market take so much from requester 0's account, and the fee.
    pub(crate) fn approve(&mut self, amount: u128) {
        let arg = ApproveArgs {
            spender: self.chain.jobs.into(),
            amount: Nat::from(amount + FEE),
        };
        let told: Result<Nat, Reserved> =
            self.chain
                .update(requester(0), self.ledger, "icrc2_approve", (arg,));
        told.unwrap();
    }

    pub(crate) fn deposit(&mut self, amount: u128) -> Result<TransferView, MoneyError> {
        let args = DepositFromArgs {
            amount: Cycles(amount),
            from_subaccount: None,
        };
        let jobs = self.chain.jobs;
        self.chain
            .update(requester(0), jobs, "deposit_from", (args,))
    }

    pub(crate) fn withdraw(
        &mut self,
        amount: u128,
        to: Destination,
    ) -> Result<TransferView, MoneyError> {
        let args = WithdrawArgs {
            amount: Cycles(amount),
            to,
        };
        let jobs = self.chain.jobs;
        self.chain.update(requester(0), jobs, "withdraw", (args,))
    }

    pub(crate) fn balance(&mut self) -> u128 {
        let jobs = self.chain.jobs;
        let told: Cycles = self
            .chain
            .query(admin(), jobs, "balance", (Some(requester(0)),));
        told.0
    }

    pub(crate) fn on_ledger(&mut self, account: LedgerAccount) -> u128 {
        let ledger = self.ledger;
        let told: Nat = self
            .chain
            .query(admin(), ledger, "icrc1_balance_of", (account,));
        told.0.try_into().unwrap()
    }

    pub(crate) fn transfer(&mut self, id: TransferId) -> TransferView {
        let jobs = self.chain.jobs;
        let told: Option<TransferView> = self.chain.query(admin(), jobs, "transfer", (id,));
        told.unwrap()
    }

    /// What the market's books say must be what the ledger says, once nothing is on its way.
    pub(crate) fn check(&mut self) {
        let stats = self.chain.stats();
        assert_eq!((stats.open_transfers, stats.withdrawing), (0, Cycles(0)));
        let jobs = self.chain.jobs;
        let real = self.on_ledger(jobs.into());
        assert_eq!(stats.on_ledger, Cycles(real));
        self.chain.check_money().unwrap();
    }
}

/// A ledger that is told how to behave.
pub(crate) fn scripted(chain: &mut Chain) -> Principal {
    let ledger = chain.install("fault-ledger", &candid::encode_args(()).unwrap());
    let _: () = chain.update(admin(), ledger, "set_fee", (Nat::from(FEE),));
    let to = LedgerAccount::from(requester(0));
    let _: () = chain.update(admin(), ledger, "mint", (to, Nat::from(10 * TRILLION)));
    ledger
}

pub(crate) fn to_ledger() -> Destination {
    Destination::Ledger(LedgerAccount {
        owner: requester(1),
        subaccount: Some(ByteBuf::from([9; 32])),
    })
}

#[test]
fn money_comes_from_a_ledger_and_goes_back() {
    for mut bank in [Bank::new(1), Bank::on_cycles_ledger(1)] {
        let jobs = bank.chain.jobs;
        let told: Option<LedgerView> = bank.chain.query(admin(), jobs, "ledger", ());
        let expected = LedgerView {
            id: bank.ledger,
            fee: Some(Cycles(FEE)),
        };
        assert_eq!(told, Some(expected));

        let refused = bank.deposit(3 * TRILLION).unwrap();
        assert!(
            matches!(refused.state, TransferState::Failed(_)),
            "nothing is approved: {refused:?}"
        );
        assert_eq!(bank.balance(), 0);

        bank.approve(3 * TRILLION);
        let mine = bank.on_ledger(requester(0).into());
        let done = bank.deposit(3 * TRILLION).unwrap();
        assert!(matches!(done.state, TransferState::Done { block: Some(_) }));
        assert_eq!(bank.balance(), 3 * TRILLION);
        let left = bank.on_ledger(requester(0).into());
        assert_eq!(mine - left, 3 * TRILLION + FEE);

        let sent = bank.withdraw(TRILLION, to_ledger()).unwrap();
        assert!(matches!(sent.state, TransferState::Done { block: Some(_) }));
        assert_eq!((sent.amount, sent.fee), (Cycles(TRILLION), Cycles(FEE)));
        assert_eq!(bank.balance(), 2 * TRILLION - FEE);
        let Destination::Ledger(account) = to_ledger() else {
            unreachable!("it is an account");
        };
        assert_eq!(bank.on_ledger(account), TRILLION);
        bank.check();

        let page: Vec<TransferView> = bank.chain.query(
            admin(),
            jobs,
            "transfers",
            (TransfersArgs {
                account: Some(requester(0)),
                open: false,
                before: None,
                limit: 2,
            },),
        );
        assert_eq!(page, [sent, done]);
    }
}

#[test]
fn cycles_go_to_canisters_and_each_pile_pays_its_own() {
    let mut bank = Bank::new(2);
    bank.approve(2 * TRILLION);
    bank.deposit(2 * TRILLION).unwrap();
    let purse = bank.chain.purse;
    let to = || Destination::Canister(purse);
    let told = bank.withdraw(TRILLION, to());
    assert_eq!(
        told,
        Err(MoneyError::CyclesShort {
            needed: Cycles(TRILLION),
            there: Cycles(0)
        })
    );

    bank.chain.fund(requester(0), 3 * TRILLION).unwrap();
    let (before, mine) = (bank.chain.cycles(purse), bank.chain.cycles(bank.chain.jobs));
    let sent = bank.withdraw(TRILLION, to()).unwrap();
    assert_eq!(sent.state, TransferState::Done { block: None });
    assert_eq!(sent.fee, Cycles(0));
    let got = bank.chain.cycles(purse).saturating_sub(before);
    assert!((TRILLION - FEE..=TRILLION).contains(&got), "{got}");
    let given = mine - bank.chain.cycles(bank.chain.jobs);
    assert!((TRILLION..TRILLION + FEE).contains(&given), "{given}");

    let told = bank.withdraw(2 * TRILLION, to_ledger());
    assert_eq!(
        told,
        Err(MoneyError::LedgerShort {
            needed: Cycles(2 * TRILLION + FEE),
            there: Cycles(2 * TRILLION)
        })
    );
    // A canister that is not there gets nothing, and nothing is lost.
    let absent = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 1, 1]);
    let balance = bank.balance();
    let refused = bank
        .withdraw(TRILLION, Destination::Canister(absent))
        .unwrap();
    assert!(
        matches!(refused.state, TransferState::Failed(_)),
        "{refused:?}"
    );
    assert_eq!(bank.balance(), balance);
    bank.check();
}

#[test]
fn a_market_without_a_ledger_says_so() {
    let mut chain = Chain::new(1, 0);
    let jobs = chain.jobs;
    let told: Option<LedgerView> = chain.query(admin(), jobs, "ledger", ());
    assert_eq!(told, None);
    let args = DepositFromArgs {
        amount: Cycles(TRILLION),
        from_subaccount: None,
    };
    let told: Result<TransferView, MoneyError> =
        chain.update(requester(0), jobs, "deposit_from", (args,));
    assert_eq!(told, Err(MoneyError::LedgerNotSet));
    chain.fund(requester(0), 2 * TRILLION).unwrap();
    let args = WithdrawArgs {
        amount: Cycles(TRILLION),
        to: to_ledger(),
    };
    let told: Result<TransferView, MoneyError> =
        chain.update(requester(0), jobs, "withdraw", (args,));
    assert_eq!(told, Err(MoneyError::LedgerNotSet));

    // One may be named later, and no other after that.
    let first = encode_one(Some(LedgerArgs {
        ledger: Some(stranger()),
    }));
    chain.upgrade(jobs, "jobs", &first.unwrap()).unwrap();
    for other in [admin(), Principal::management_canister(), jobs] {
        let args = LedgerArgs {
            ledger: Some(other),
        };
        let reject = chain
            .upgrade(jobs, "jobs", &encode_one(Some(args)).unwrap())
            .unwrap_err();
        assert!(
            reject
                .reject_message
                .contains("install arguments: ledger: "),
            "{reject:?}"
        );
    }
    let keep = encode_one(None::<LedgerArgs>).unwrap();
    chain.upgrade(jobs, "jobs", &keep).unwrap();
}

#[test]
fn anonymous_callers_and_others_move_nothing() {
    let mut chain = Chain::new(1, 0);
    let (jobs, nobody) = (chain.jobs, Principal::anonymous());
    let events = chain.stats().events;
    let args = DepositFromArgs {
        amount: Cycles(TRILLION),
        from_subaccount: None,
    };
    let told: Result<TransferView, MoneyError> =
        chain.update(nobody, jobs, "deposit_from", (args,));
    assert_eq!(told, Err(MoneyError::Anonymous));
    let args = WithdrawArgs {
        amount: Cycles(TRILLION),
        to: Destination::Canister(chain.purse),
    };
    let told: Result<TransferView, MoneyError> = chain.update(nobody, jobs, "withdraw", (args,));
    assert_eq!(told, Err(MoneyError::Anonymous));
    for (who, expected) in [
        (stranger(), MoneyError::NotAController),
        (admin(), MoneyError::UnknownTransfer(TransferId(1))),
    ] {
        let told: Result<TransferView, MoneyError> =
            chain.update(who, jobs, "resolve_transfer", (TransferId(1), true));
        assert_eq!(told, Err(expected));
    }
    assert_eq!(chain.stats().events, events, "nothing was recorded");
}
