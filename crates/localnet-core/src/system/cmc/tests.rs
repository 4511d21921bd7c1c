//! What callers of the cycles minting canister see.

use candid::CandidType;
use ic_certification::{HashTree, LookupResult};
use serde::de::DeserializeOwned;

use super::{
    types::{
        NotifyCreateCanisterArg, NotifyError, NotifyMintCyclesArg, NotifyMintCyclesSuccess,
        NotifyTopUpArg,
    },
    *,
};
use crate::{
    limits,
    system::{
        CYCLES_MINTING,
        account::{Account, AccountId},
        icp_ledger::Payment,
        testing::{NOW, Numbers, application, call, canister, closed, encode, read, user},
    },
};

const ICP: u64 = 100_000_000;
const T: u128 = 1_000_000_000_000;
const TOP_UP: u64 = 0x5055_5054;
const CREATE: u64 = 0x4145_5243;
const MINT: u64 = 0x544e_494d;

struct Town {
    cmc: Cmc,
    icp: IcpLedger,
    cycles: CyclesLedger,
    world: Numbers,
}

fn id(number: u8) -> AccountId {
    Account::of(user(number)).id()
}

fn pay(from: AccountId, to: AccountId, e8s: u64, memo: u64) -> Payment {
    Payment {
        from,
        to,
        spender: None,
        amount: e8s.into(),
        fee: None,
        memo,
        icrc1_memo: None,
        created_at_time: None,
    }
}

impl Town {
    /// The first user has a thousand ICP; there are the cycles ledger and a canister.
    fn new() -> Self {
        let mut town = Self {
            cmc: Cmc::default(),
            icp: IcpLedger::new(),
            cycles: CyclesLedger::new(),
            world: Numbers::default(),
        };
        let minter = IcpLedger::minting_account().id();
        let payment = pay(minter, id(1), 1_000 * ICP, 0);
        assert_eq!(town.icp.pay(payment, NOW), Ok(0));
        town.world.others.insert(crate::system::CYCLES_LEDGER, 0);
        town.world.others.insert(canister(5), 0);
        town
    }

    /// Pays to the account for a principal; gives the block.
    fn send(&mut self, of: &Principal, e8s: u64, memo: u64) -> u64 {
        let to = Account::for_principal(CYCLES_MINTING, of).id();
        self.icp.pay(pay(id(1), to, e8s, memo), NOW).unwrap()
    }

    fn update<T: CandidType + DeserializeOwned>(
        &mut self,
        caller: Principal,
        method: &str,
        arg: impl CandidType,
    ) -> T {
        let arg = encode(arg);
        let ledgers = Ledgers {
            icp: &mut self.icp,
            cycles: &mut self.cycles,
        };
        let call = call(caller, NOW, &arg);
        let answer = self.cmc.update(method, &call, ledgers, &mut self.world);
        assert_eq!(self.world.own, 0, "it keeps nothing");
        read(answer).unwrap()
    }

    fn query<T: CandidType + DeserializeOwned>(&self, method: &str) -> T {
        let arg = encode(());
        let call = call(user(9), NOW, &arg);
        read(self.cmc.query(method, &call, &self.world.places())).unwrap()
    }

    fn icp_of(&self, number: u8) -> u64 {
        let arg = encode(Account::of(user(number)).wire());
        let call = call(user(9), NOW, &arg);
        let nat: Nat = read(self.icp.query("icrc1_balance_of", &call)).unwrap();
        u64::try_from(&nat.0).unwrap()
    }

    fn top_up(&mut self, block_index: u64, canister_id: Principal) -> Result<Nat, NotifyError> {
        let args = NotifyTopUpArg {
            block_index,
            canister_id,
        };
        self.update(user(1), "notify_top_up", args)
    }
}

fn create_args(block_index: u64, controller: Principal) -> NotifyCreateCanisterArg {
    NotifyCreateCanisterArg {
        block_index,
        controller,
        subnet_type: None,
        subnet_selection: None,
        settings: None,
    }
}

#[test]
fn an_icp_tops_a_canister_up_by_a_hundred_trillion_cycles_once() {
    let mut town = Town::new();
    let block = town.send(&canister(5), ICP, TOP_UP);
    assert_eq!(town.top_up(block, canister(5)), Ok((100 * T).into()));
    assert_eq!(town.top_up(block, canister(5)), Ok((100 * T).into()));
    assert_eq!(town.world.others[&canister(5)], 100 * T);
    assert_eq!(town.world.minted, 100 * T);
}

#[test]
fn a_payment_for_something_else_or_somebody_else_is_invalid() {
    let mut town = Town::new();
    let block = town.send(&canister(5), ICP, CREATE);
    let wrong = [
        (0, "Notification transaction must be of type Transfer"),
        (99, "Block 99 not found"),
        (
            block,
            "The memo (1095062083) in the transaction does not match",
        ),
    ];
    for (block, text) in wrong {
        let Err(NotifyError::InvalidTransaction(error)) = town.top_up(block, canister(5)) else {
            panic!("{block}")
        };
        assert!(error.starts_with(text), "{error}");
    }
    let block = town.send(&canister(5), ICP, TOP_UP);
    let Err(NotifyError::InvalidTransaction(error)) = town.top_up(block, canister(6)) else {
        panic!()
    };
    assert!(
        error.starts_with("Destination account in the block"),
        "{error}"
    );
    assert_eq!(town.world.minted, 0);
}

#[test]
fn a_payment_for_a_canister_that_is_not_there_comes_back_less_fees() {
    let mut town = Town::new();
    let before = town.icp_of(1);
    let block = town.send(&canister(6), ICP, TOP_UP);
    let refunded = Err(NotifyError::Refunded {
        reason: format!("Canister {} not found", canister(6)),
        block_index: Some(block + 1),
    });
    assert_eq!(town.top_up(block, canister(6)), refunded);
    assert_eq!(town.top_up(block, canister(6)), refunded, "once only");
    assert_eq!(town.icp_of(1), before - 10_000 - 10_000 - 20_000);
}

#[test]
fn a_payment_with_another_memo_comes_back() {
    let mut town = Town::new();
    let before = town.icp_of(1);
    let block = town.send(&canister(5), ICP, 42);
    for _ in 0..2 {
        let Err(NotifyError::Refunded { block_index, .. }) = town.top_up(block, canister(5)) else {
            panic!()
        };
        assert_eq!(block_index, Some(block + 1));
    }
    assert_eq!(town.icp_of(1), before - 20_000);
}

#[test]
fn a_canister_is_paid_with_icp() {
    let mut town = Town::new();
    let block = town.send(&user(1), ICP, CREATE);
    let created: Result<Principal, NotifyError> = town.update(
        user(1),
        "notify_create_canister",
        create_args(block, user(1)),
    );
    let id = created.unwrap();
    assert_eq!(town.world.created, [(id, application(), vec![user(1)])]);
    assert_eq!(town.world.others[&id], 100 * T);
    let foreign: Result<Principal, NotifyError> = town.update(
        user(2),
        "notify_create_canister",
        create_args(block, user(1)),
    );
    assert!(
        matches!(foreign, Err(NotifyError::Other { error_code: 5, .. })),
        "{foreign:?}"
    );
    let again: Result<Principal, NotifyError> = town.update(
        user(1),
        "notify_create_canister",
        create_args(block, user(1)),
    );
    assert_eq!(again, Ok(id));
}

#[test]
fn a_canister_that_cannot_be_created_costs_four_fees() {
    let mut town = Town::new();
    let before = town.icp_of(1);
    let block = town.send(&user(1), ICP, CREATE);
    let args = NotifyCreateCanisterArg {
        subnet_type: Some("moon".to_owned()),
        ..create_args(block, user(1))
    };
    let created: Result<Principal, NotifyError> =
        town.update(user(1), "notify_create_canister", args);
    assert_eq!(
        created,
        Err(NotifyError::Refunded {
            reason: "Provided subnet type moon does not exist".to_owned(),
            block_index: Some(block + 1)
        })
    );
    assert_eq!(town.icp_of(1), before - 10_000 - 10_000 - 40_000);
}

#[test]
fn icp_become_cycles_on_the_cycles_ledger() {
    let mut town = Town::new();
    let block = town.send(&user(1), ICP, MINT);
    let args = |memo: usize| NotifyMintCyclesArg {
        block_index: block,
        to_subaccount: None,
        deposit_memo: Some(ByteBuf::from(vec![1; memo])),
    };
    type Minted = Result<NotifyMintCyclesSuccess, NotifyError>;
    let long: Minted = town.update(user(1), "notify_mint_cycles", args(33));
    assert!(
        matches!(long, Err(NotifyError::Other { error_code: 6, .. })),
        "{long:?}"
    );
    let fee = crate::system::cycles_ledger::FEE;
    let minted: Minted = town.update(user(1), "notify_mint_cycles", args(32));
    assert_eq!(
        minted,
        Ok(NotifyMintCyclesSuccess {
            block_index: 0_u8.into(),
            minted: (100 * T).into(),
            balance: (100 * T - fee).into(),
        })
    );
    assert_eq!(
        town.world.others[&crate::system::CYCLES_LEDGER],
        100 * T - fee
    );
    let Err(NotifyError::InvalidTransaction(_)) = town.top_up(block, canister(5)) else {
        panic!()
    };
}

#[test]
fn a_canister_creates_a_canister_with_the_cycles_of_its_call() {
    let mut town = Town::new();
    let args = |subnet| CreateCanisterArg {
        settings: None,
        subnet_type: None,
        subnet_selection: Some(SubnetSelection::Subnet { subnet }),
    };
    type Created = Result<Principal, CreateCanisterError>;
    town.world.available = T;
    let created: Created = town.update(canister(5), "create_canister", args(closed()));
    assert_eq!(
        town.world.created,
        [(created.unwrap(), closed(), vec![canister(5)])]
    );
    assert_eq!(town.world.available, 0);
    town.world.available = T;
    let created: Created = town.update(canister(5), "create_canister", args(user(77)));
    let Err(CreateCanisterError::Refunded { refund_amount, .. }) = created else {
        panic!("{created:?}")
    };
    assert_eq!(refund_amount, Nat::from(T - 100_000_000));
    assert_eq!(town.world.available, T - 100_000_000);
    town.world.available = CREATE_CYCLES_MIN - 1;
    let created: Created = town.update(canister(5), "create_canister", args(closed()));
    assert_eq!(
        created,
        Err(CreateCanisterError::Refunded {
            refund_amount: (CREATE_CYCLES_MIN - 1).into(),
            create_error: "Insufficient cycles attached.".to_owned()
        })
    );
    assert_eq!(town.world.available, CREATE_CYCLES_MIN - 1);
}

#[test]
fn only_open_subnets_are_offered() {
    let town = Town::new();
    let subnets: Vec<Principal> = town.query("get_default_subnets");
    assert_eq!(subnets, [application()]);
    let types: SubnetTypes = town.query("get_subnet_types_to_subnets");
    assert_eq!(types.data, []);
    let authorised: Authorised =
        town.query("get_principals_authorized_to_create_canisters_to_subnets");
    assert_eq!(authorised.data, []);
}

#[test]
fn the_rate_is_certified() {
    let town = Town::new();
    let rate: CertifiedRate = town.query("get_icp_xdr_conversion_rate");
    assert_eq!(rate.data, conversion_rate());
    let tree: HashTree = serde_cbor::from_slice(&rate.hash_tree).unwrap();
    assert_eq!(tree.digest().to_vec(), Cmc::certified_data());
    let leaf = encode(conversion_rate());
    assert_eq!(tree.lookup_path([RATE_LABEL]), LookupResult::Found(&leaf));
}

#[test]
fn the_oldest_notifications_are_forgotten_and_their_payments_too_old() {
    let mut town = Town::new();
    let old = (0..limits::CMC_NOTIFICATIONS_KEPT as u64 - 1)
        .map(|block| (block + 1_000, Notified::Returned(None)));
    town.cmc.notified = old.collect();
    let first = town.send(&canister(5), ICP, TOP_UP);
    let second = town.send(&canister(5), ICP, TOP_UP);
    assert!(town.top_up(first, canister(5)).is_ok());
    assert_eq!(town.cmc.notified.len(), limits::CMC_NOTIFICATIONS_KEPT);
    assert_eq!(town.cmc.first_block, 0);
    assert!(town.top_up(second, canister(5)).is_ok());
    assert_eq!(town.cmc.notified.len(), limits::CMC_NOTIFICATIONS_KEPT);
    assert_eq!(
        town.top_up(first, canister(5)),
        Err(NotifyError::TransactionTooOld(first + 1))
    );
}
