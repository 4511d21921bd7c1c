//! The purse canister: holds cycles and deposits them for people, whose own calls can carry none.
//!
//! It keeps no state: what it holds is its own cycle balance. It belongs to whoever filled it, so only
//! controllers may spend from it.

mod fund;

use assay_protocol::Cycles;
use candid::{CandidType, Principal};
use ic_cdk::{query, update};
use serde::{Deserialize, Serialize};

pub use fund::FundError;

/// What to deposit, where and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct FundArgs {
    /// The jobs canister that keeps the balance.
    pub jobs: Principal,
    /// Whose balance it becomes.
    pub beneficiary: Principal,
    /// How much, 1 to 100 trillion.
    pub amount: Cycles,
}

#[update]
async fn fund(args: FundArgs) -> Result<Cycles, FundError> {
    let caller = ic_cdk::api::msg_caller();
    if !ic_cdk::api::is_controller(&caller) {
        return Err(FundError::NotAController { caller });
    }
    fund::check(args.amount, fund::available())?;
    fund::deposit(args).await
}

#[query]
fn balance() -> Cycles {
    fund::available()
}

#[query]
fn get_api_doc() -> String {
    include_str!("api.md").to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candid_parser::utils::{CandidSource, service_equal};

    use super::*;

    candid::export_service!();

    #[test]
    fn the_exported_interface_is_the_written_one() {
        let code = __export_service();
        let written = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../candid/purse.did");
        if let Err(error) = service_equal(CandidSource::Text(&code), CandidSource::File(&written)) {
            panic!("candid/purse.did differs from the code: {error}\nthe code exports:\n{code}");
        }
    }
}
