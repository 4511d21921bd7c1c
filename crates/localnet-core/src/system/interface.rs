//! The Candid interfaces of the system canisters, shown as the metadata of a module would be.

use std::sync::LazyLock;

use candid::Principal;

use super::{CYCLES_LEDGER, CYCLES_MINTING, ICP_LEDGER};
use crate::network::MetadataSection;

/// The name under which tools look for an interface.
const SECTION: &str = "candid:service";

static INTERFACES: LazyLock<[(Principal, [MetadataSection; 1]); 3]> = LazyLock::new(|| {
    [
        (CYCLES_LEDGER, include_str!("did/cycles_ledger.did")),
        (ICP_LEDGER, include_str!("did/icp_ledger.did")),
        (CYCLES_MINTING, include_str!("did/cmc.did")),
    ]
    .map(|(id, interface)| {
        let section = MetadataSection {
            name: SECTION.to_owned(),
            public: true,
            content: interface.as_bytes().to_vec(),
        };
        (id, [section])
    })
});

/// The metadata of a system canister.
pub(crate) fn metadata(id: &Principal) -> &'static [MetadataSection] {
    INTERFACES
        .iter()
        .find(|(of, _)| of == id)
        .map_or(&[], |(_, sections)| sections)
}
