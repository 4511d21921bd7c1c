//! Conversations that people keep here, sealed: bytes by account and name, and a place in the order of their ages.
//!
//! Invariant: every conversation has a line, an age and its share of the two sums, or none of them.

use assay_protocol::{
    Timestamp,
    chats::{
        ALL_BYTES_MAX, CHAT_NAME_BYTES, CHATS_PER_OWNER_MAX, COUNTED_BYTES_MIN, ChatsError,
        KEPT_SECONDS, KeepChatArgs, KeptChat, OWNER_BYTES_MAX, SEALED_BYTES_MAX, SealedChat,
    },
    store::Table,
};
use candid::Principal;
use serde_bytes::{ByteArray, ByteBuf};

/// Among an account's.
pub(crate) type Name = ByteArray<CHAT_NAME_BYTES>;
/// Account and name.
pub(crate) type ChatKey = (Principal, Name);
/// Bytes of a conversation, and when it was kept last.
pub(crate) type Line = (u32, Timestamp);
/// When a conversation was kept last, and which one.
pub(crate) type Age = (Timestamp, Principal, Name);
/// How many conversations of an account, and their counted bytes.
pub(crate) type Share = (u32, u64);

/// Where tables lie.
pub(crate) trait Medium {
    type Sealed: Table<ChatKey, ByteBuf>;
    type Lines: Table<ChatKey, Line>;
    type Ages: Table<Age, ()>;
    type Shares: Table<Principal, Share>;
}

/// All conversations, on some medium.
pub(crate) struct Chats<M: Medium> {
    /// The bytes.
    pub(crate) sealed: M::Sealed,
    /// What can be told without reading them.
    pub(crate) lines: M::Lines,
    /// The oldest first.
    pub(crate) ages: M::Ages,
    /// What each account has.
    pub(crate) shares: M::Shares,
    /// Counted bytes of all.
    pub(crate) bytes: u64,
    /// Keeps that sum over an upgrade.
    pub(crate) save: Box<dyn Fn(u64)>,
}

/// Outlived conversations that go with each one that comes.
const OUTLIVED_AT_ONCE: usize = 2;

/// Keeps a conversation in the place of what had its name.
pub(crate) fn keep<M: Medium>(
    chats: &mut Chats<M>,
    owner: Principal,
    args: &KeepChatArgs,
    now: Timestamp,
) -> Result<KeptChat, ChatsError> {
    signed(owner)?;
    let name = name(&args.chat)?;
    let size = args.sealed.len();
    if !(1..=SEALED_BYTES_MAX).contains(&size) {
        return Err(ChatsError::Invalid {
            problem: format!("a sealed chat of {size} bytes; 1 to {SEALED_BYTES_MAX} are kept"),
        });
    }
    forget_outlived(chats, now);
    let before = chats.lines.get(&(owner, name));
    let freed = before.map_or(0, |(bytes, _)| counted(bytes));
    let fresh = u32::from(before.is_none());
    let (own, own_bytes) = chats.shares.get(&owner).unwrap_or_default();
    let bytes = size as u32;
    let grown = |sum: u64| sum - freed + counted(bytes);
    for (what, wanted, max) in [
        (
            "your chats",
            u64::from(own + fresh),
            u64::from(CHATS_PER_OWNER_MAX),
        ),
        ("bytes of your chats", grown(own_bytes), OWNER_BYTES_MAX),
        ("bytes of all chats", grown(chats.bytes), ALL_BYTES_MAX),
    ] {
        if wanted > max {
            return Err(ChatsError::Full {
                what: what.to_owned(),
                max,
            });
        }
    }
    remove(chats, owner, name);
    chats
        .sealed
        .insert((owner, name), ByteBuf::from(args.sealed.clone()));
    chats.lines.insert((owner, name), (bytes, now));
    chats.ages.insert((now, owner, name), ());
    let (own, own_bytes) = chats.shares.get(&owner).unwrap_or_default();
    chats
        .shares
        .insert(owner, (own + 1, own_bytes + counted(bytes)));
    set_bytes(chats, chats.bytes + counted(bytes));
    Ok(KeptChat {
        chat: args.chat.clone(),
        bytes,
        kept_at: now,
    })
}

/// All that an account keeps, by name.
pub(crate) fn kept<M: Medium>(chats: &Chats<M>, owner: Principal) -> Vec<KeptChat> {
    let lines = chats.lines.range(all_of(owner));
    lines
        .map(|((_, name), (bytes, kept_at))| KeptChat {
            chat: name.to_vec(),
            bytes,
            kept_at,
        })
        .collect()
}

/// What is kept under a name.
pub(crate) fn read<M: Medium>(
    chats: &Chats<M>,
    owner: Principal,
    chat: &[u8],
) -> Option<SealedChat> {
    let name = name(chat).ok()?;
    let (_, kept_at) = chats.lines.get(&(owner, name))?;
    let sealed = chats.sealed.get(&(owner, name))?.into_vec();
    Some(SealedChat { sealed, kept_at })
}

/// Forgets one; none is no error.
pub(crate) fn drop_one<M: Medium>(
    chats: &mut Chats<M>,
    owner: Principal,
    chat: &[u8],
) -> Result<(), ChatsError> {
    signed(owner)?;
    remove(chats, owner, name(chat)?);
    Ok(())
}

/// Forgets all of an account; gives how many there were.
pub(crate) fn drop_all<M: Medium>(
    chats: &mut Chats<M>,
    owner: Principal,
) -> Result<u32, ChatsError> {
    signed(owner)?;
    let names: Vec<ChatKey> = chats.lines.keys(all_of(owner)).collect();
    for &(owner, name) in &names {
        remove(chats, owner, name);
    }
    Ok(names.len() as u32)
}

/// Takes a conversation away wherever it stands.
fn remove<M: Medium>(chats: &mut Chats<M>, owner: Principal, name: Name) {
    let Some((bytes, kept_at)) = chats.lines.remove(&(owner, name)) else {
        return;
    };
    chats.sealed.remove(&(owner, name));
    chats.ages.remove(&(kept_at, owner, name));
    let (own, own_bytes) = chats.shares.get(&owner).unwrap_or_default();
    match own {
        1 => chats.shares.remove(&owner),
        _ => chats
            .shares
            .insert(owner, (own - 1, own_bytes - counted(bytes))),
    };
    set_bytes(chats, chats.bytes - counted(bytes));
}

/// Takes away a few of those that nobody kept anew for too long.
fn forget_outlived<M: Medium>(chats: &mut Chats<M>, now: Timestamp) {
    let outlived: Vec<Age> = chats
        .ages
        .keys(..)
        .take(OUTLIVED_AT_ONCE)
        .filter(|(kept_at, ..)| kept_at.plus_seconds(KEPT_SECONDS) < now)
        .collect();
    for (_, owner, name) in outlived {
        remove(chats, owner, name);
    }
}

fn counted(bytes: u32) -> u64 {
    u64::from(bytes).max(COUNTED_BYTES_MIN)
}

fn set_bytes<M: Medium>(chats: &mut Chats<M>, bytes: u64) {
    chats.bytes = bytes;
    (chats.save)(bytes);
}

fn all_of(owner: Principal) -> std::ops::RangeInclusive<ChatKey> {
    let name = |byte| ByteArray::new([byte; CHAT_NAME_BYTES]);
    (owner, name(0))..=(owner, name(u8::MAX))
}

fn signed(owner: Principal) -> Result<(), ChatsError> {
    match owner == Principal::anonymous() {
        true => Err(ChatsError::Anonymous),
        false => Ok(()),
    }
}

fn name(chat: &[u8]) -> Result<Name, ChatsError> {
    let name: Result<[u8; CHAT_NAME_BYTES], _> = chat.try_into();
    name.map(ByteArray::new).map_err(|_| ChatsError::Invalid {
        problem: format!(
            "a chat's name of {} bytes; it has {CHAT_NAME_BYTES}",
            chat.len()
        ),
    })
}

#[cfg(test)]
mod tests;
