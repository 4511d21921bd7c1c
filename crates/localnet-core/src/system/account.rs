//! Accounts: a principal and a subaccount, and the 32-byte identifier that the ICP ledger makes of them.

use candid::{CandidType, Principal};
use flate2::Crc;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha2::{Digest as _, Sha224};

use super::call::Trap;

/// Bytes in a subaccount.
const SUBACCOUNT_BYTES: usize = 32;

/// An account as callers write it.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(super) struct WireAccount {
    /// Whose it is.
    pub(super) owner: Principal,
    /// Which of the owner's accounts; none means the one of zeros.
    pub(super) subaccount: Option<ByteBuf>,
}

/// An account. The subaccount of zeros is no subaccount, so equal accounts are equal values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Account {
    /// Whose it is.
    pub owner: Principal,
    /// Which of the owner's accounts.
    pub subaccount: Option<[u8; SUBACCOUNT_BYTES]>,
}

impl Account {
    /// The owner's account without a subaccount.
    pub const fn of(owner: Principal) -> Self {
        Self {
            owner,
            subaccount: None,
        }
    }

    /// The owner's account with this subaccount, as callers write it.
    pub(super) fn with(owner: Principal, subaccount: Option<ByteBuf>) -> Result<Self, Trap> {
        let subaccount = subaccount
            .map(|bytes| {
                <[u8; SUBACCOUNT_BYTES]>::try_from(bytes.as_slice()).map_err(|_| {
                    Trap(format!(
                        "a subaccount has {SUBACCOUNT_BYTES} bytes, this one has {}",
                        bytes.len()
                    ))
                })
            })
            .transpose()?
            .filter(|bytes| *bytes != [0; SUBACCOUNT_BYTES]);
        Ok(Self { owner, subaccount })
    }

    /// The account of a canister that stands for this principal there.
    pub(super) fn for_principal(canister: Principal, principal: &Principal) -> Self {
        let mut subaccount = [0; SUBACCOUNT_BYTES];
        let bytes = principal.as_slice();
        subaccount[0] = u8::try_from(bytes.len()).expect("BUG: principals have at most 29 bytes");
        subaccount[1..=bytes.len()].copy_from_slice(bytes);
        Self {
            owner: canister,
            subaccount: Some(subaccount),
        }
    }

    /// As callers read it.
    pub(super) fn wire(&self) -> WireAccount {
        WireAccount {
            owner: self.owner,
            subaccount: self.subaccount.map(|bytes| ByteBuf::from(bytes.to_vec())),
        }
    }

    /// The identifier on the ICP ledger.
    pub fn id(&self) -> AccountId {
        let hash: [u8; 28] = Sha224::new()
            .chain_update(b"\x0Aaccount-id")
            .chain_update(self.owner.as_slice())
            .chain_update(self.subaccount.unwrap_or_default())
            .finalize()
            .into();
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&checksum(&hash));
        bytes[4..].copy_from_slice(&hash);
        AccountId(bytes)
    }
}

impl WireAccount {
    /// The account that is meant.
    pub(super) fn read(self) -> Result<Account, Trap> {
        Account::with(self.owner, self.subaccount)
    }
}

/// An account of the ICP ledger: a checksum and a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountId(pub [u8; 32]);

impl AccountId {
    /// Reads an identifier; the checksum must be right.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let id = <[u8; 32]>::try_from(bytes).ok()?;
        (id[..4] == checksum(&id[4..])).then_some(Self(id))
    }
}

impl CandidType for AccountId {
    fn _ty() -> candid::types::Type {
        Vec::<u8>::_ty()
    }

    fn idl_serialize<S: candid::types::Serializer>(&self, serializer: S) -> Result<(), S::Error> {
        serializer.serialize_blob(&self.0)
    }
}

fn checksum(hash: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(hash);
    crc.sum().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_anonymous_principal_has_its_published_identifier() {
        let id = Account::of(Principal::anonymous()).id();
        assert_eq!(
            hex::encode(id.0),
            "1c7a48ba6a562aa9eaa2481a9049cdf0433b9738c992d698c31d8abf89cadc79"
        );
        assert_eq!(AccountId::parse(&id.0), Some(id));
    }

    #[test]
    fn an_identifier_with_a_wrong_checksum_or_length_is_none() {
        let mut id = Account::of(Principal::management_canister()).id().0;
        id[31] ^= 1;
        assert_eq!(AccountId::parse(&id), None);
        assert_eq!(AccountId::parse(&id[1..]), None);
    }

    #[test]
    fn the_subaccount_of_zeros_is_no_subaccount() {
        let owner = Principal::anonymous();
        let zeros = Account::with(owner, Some(ByteBuf::from(vec![0; 32])));
        assert_eq!(zeros, Ok(Account::of(owner)));
        for len in [0, 31, 33] {
            let Trap(text) = Account::with(owner, Some(ByteBuf::from(vec![1; len]))).unwrap_err();
            assert_eq!(
                text,
                format!("a subaccount has 32 bytes, this one has {len}")
            );
        }
    }
}
