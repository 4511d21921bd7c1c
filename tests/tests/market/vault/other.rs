//! A ledger of DFINITY's ICRC-1 module.

use assay_jobs_core::testing::requester;
use assay_protocol::money::LedgerAccount;
use candid::{CandidType, Nat, Principal, encode_one};
use pocket_ic::CreateCanisterParams;

use super::{FEE, TRILLION};
use crate::chain::{Chain, admin};

/// Installs the module; requester 0 has ten trillion cycles there.
pub(super) fn ledger(chain: &Chain, module: &[u8]) -> Principal {
    #[derive(CandidType)]
    enum Value {
        Nat(Nat),
    }
    #[derive(CandidType)]
    struct Features {
        icrc2: bool,
    }
    #[derive(CandidType)]
    struct Archive {
        num_blocks_to_archive: u64,
        trigger_threshold: u64,
        controller_id: Principal,
    }
    #[derive(CandidType)]
    struct Init {
        minting_account: LedgerAccount,
        transfer_fee: Nat,
        token_symbol: String,
        token_name: String,
        metadata: Vec<(String, Value)>,
        initial_balances: Vec<(LedgerAccount, Nat)>,
        feature_flags: Option<Features>,
        archive_options: Archive,
    }
    #[derive(CandidType)]
    enum LedgerArg {
        Init(Init),
    }
    let init = Init {
        minting_account: admin().into(),
        transfer_fee: Nat::from(FEE),
        token_symbol: "CYC".to_owned(),
        token_name: "Cycles".to_owned(),
        metadata: vec![("icrc1:decimals".to_owned(), Value::Nat(Nat::from(12u8)))],
        initial_balances: vec![(requester(0).into(), Nat::from(10 * TRILLION))],
        feature_flags: Some(Features { icrc2: true }),
        archive_options: Archive {
            num_blocks_to_archive: 1_000,
            trigger_threshold: 2_000,
            controller_id: admin(),
        },
    };
    let network = chain.network();
    let params = CreateCanisterParams {
        cycles: Some(100 * TRILLION),
        ..CreateCanisterParams::default()
    };
    let id = network
        .create_canister_with_params(Some(admin()), params)
        .unwrap();
    let arg = encode_one(LedgerArg::Init(init)).unwrap();
    network.install_canister(id, module.to_vec(), arg, Some(admin()));
    id
}
