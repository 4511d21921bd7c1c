//! Conversations that people keep here, sealed: bytes by account and name, and a place in the order of their ages.
//!
//! Invariant: every conversation has a line, an age and its share of the two sums, or none of them.

use assay_protocol::{
    Timestamp,
    chats::{
        ALL_BYTES_MAX, CHAT_NAME_BYTES, CHATS_PER_OWNER_MAX, COUNTED_BYTES_MIN, ChatsError,
        KEPT_SECONDS, KeepChatArgs, KeptChat, OWNER_BYTES_MAX, SEALED_BYTES_MAX,
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
pub(crate) fn read<M: Medium>(chats: &Chats<M>, owner: Principal, chat: &[u8]) -> Option<Vec<u8>> {
    let name = name(chat).ok()?;
    chats.sealed.get(&(owner, name)).map(ByteBuf::into_vec)
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
mod tests {
    use assay_protocol::store::MemoryTable;

    use super::*;

    struct Memory;

    impl Medium for Memory {
        type Sealed = MemoryTable<ChatKey, ByteBuf>;
        type Lines = MemoryTable<ChatKey, Line>;
        type Ages = MemoryTable<Age, ()>;
        type Shares = MemoryTable<Principal, Share>;
    }

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn empty() -> Chats<Memory> {
        Chats {
            sealed: MemoryTable::default(),
            lines: MemoryTable::default(),
            ages: MemoryTable::default(),
            shares: MemoryTable::default(),
            bytes: 0,
            save: Box::new(|_| ()),
        }
    }

    fn person(n: u8) -> Principal {
        Principal::self_authenticating([n; 32])
    }

    fn named(n: u32) -> Vec<u8> {
        let mut name = vec![0; CHAT_NAME_BYTES];
        name[..4].copy_from_slice(&n.to_be_bytes());
        name
    }

    fn put(
        chats: &mut Chats<Memory>,
        owner: u8,
        chat: u32,
        bytes: usize,
    ) -> Result<(), ChatsError> {
        let args = KeepChatArgs {
            chat: named(chat),
            sealed: vec![owner; bytes],
        };
        let told = keep(chats, person(owner), &args, NOW).map(drop);
        check(chats);
        told
    }

    /// The invariant, from the bytes alone.
    fn check(chats: &Chats<Memory>) {
        let mut lines = 0;
        let mut bytes = 0;
        for ((owner, name), sealed) in chats.sealed.range(..) {
            let (size, kept_at) = chats.lines.get(&(owner, name)).unwrap();
            assert_eq!(size as usize, sealed.len());
            assert!(chats.ages.contains(&(kept_at, owner, name)));
            lines += 1;
            bytes += counted(size);
        }
        assert_eq!((chats.lines.len(), chats.ages.len()), (lines, lines));
        assert_eq!(chats.bytes, bytes);
        let shares = chats.shares.range(..);
        let sums = shares.fold((0, 0), |(count, bytes), (_, (own, own_bytes))| {
            assert!(own > 0);
            (count + u64::from(own), bytes + own_bytes)
        });
        assert_eq!(sums, (lines, bytes));
    }

    #[test]
    fn each_account_reads_and_drops_its_own_only() {
        let mut chats = empty();
        put(&mut chats, 1, 7, 30).unwrap();
        put(&mut chats, 2, 7, 40).unwrap();
        put(&mut chats, 1, 8, 50).unwrap();
        assert_eq!(read(&chats, person(1), &named(7)), Some(vec![1; 30]));
        assert_eq!(read(&chats, person(2), &named(7)), Some(vec![2; 40]));
        assert_eq!(read(&chats, person(2), &named(8)), None);
        drop_one(&mut chats, person(2), &named(8)).unwrap();
        let of = |owner| kept(&chats, person(owner));
        let sizes: Vec<u32> = of(1).iter().map(|line| line.bytes).collect();
        assert_eq!(sizes, [30, 50]);
        assert_eq!(drop_all(&mut chats, person(1)), Ok(2));
        check(&chats);
        assert_eq!(kept(&chats, person(1)), []);
        assert_eq!(kept(&chats, person(2)).len(), 1);
        drop_one(&mut chats, person(2), &named(7)).unwrap();
        check(&chats);
        assert_eq!(read(&chats, person(2), &named(7)), None);
    }

    #[test]
    fn a_chat_that_is_kept_anew_takes_its_own_place() {
        let mut chats = empty();
        put(&mut chats, 1, 7, 5_000).unwrap();
        put(&mut chats, 1, 7, 30).unwrap();
        assert_eq!(read(&chats, person(1), &named(7)), Some(vec![1; 30]));
        assert_eq!((chats.lines.len(), chats.bytes), (1, COUNTED_BYTES_MIN));
    }

    #[test]
    fn what_nobody_kept_anew_for_too_long_goes_a_little_at_a_time() {
        let mut chats = empty();
        for chat in 0..4 {
            put(&mut chats, 1, chat, 10).unwrap();
        }
        let mut at = |seconds| {
            let args = KeepChatArgs {
                chat: named(9),
                sealed: vec![0; 5],
            };
            keep(&mut chats, person(2), &args, NOW.plus_seconds(seconds)).unwrap();
            check(&chats);
            kept(&chats, person(1)).len()
        };
        assert_eq!(at(KEPT_SECONDS), 4);
        assert_eq!(at(KEPT_SECONDS + 1), 2);
        assert_eq!(at(KEPT_SECONDS + 2), 0);
    }

    #[test]
    fn names_sizes_and_sums_have_limits() {
        let mut chats = empty();
        let full = |what: &str, max| {
            Err(ChatsError::Full {
                what: what.to_owned(),
                max,
            })
        };
        assert!(put(&mut chats, 1, 0, SEALED_BYTES_MAX).is_ok());
        for bytes in [0, SEALED_BYTES_MAX + 1] {
            let told = put(&mut chats, 1, 1, bytes);
            assert!(matches!(told, Err(ChatsError::Invalid { .. })), "{told:?}");
        }
        for short in [15, 17] {
            let told = drop_one(&mut chats, person(1), &vec![0; short]);
            assert!(matches!(told, Err(ChatsError::Invalid { .. })), "{told:?}");
            assert_eq!(read(&chats, person(1), &vec![0; short]), None);
        }
        for chat in 1..CHATS_PER_OWNER_MAX {
            let args = KeepChatArgs {
                chat: named(chat),
                sealed: vec![0; 1],
            };
            keep(&mut chats, person(1), &args, NOW).unwrap();
        }
        assert_eq!(
            put(&mut chats, 1, CHATS_PER_OWNER_MAX, 1),
            full("your chats", CHATS_PER_OWNER_MAX.into())
        );
        assert!(
            put(&mut chats, 1, 5, 20).is_ok(),
            "one that is there may change"
        );

        // As if an account, and then all of them, had almost all of their bytes. Small ones count as larger ones do.
        let least = COUNTED_BYTES_MIN as usize;
        let mut of_one = empty();
        put(&mut of_one, 1, 0, 10).unwrap();
        of_one
            .shares
            .insert(person(1), (1, OWNER_BYTES_MAX - COUNTED_BYTES_MIN - 3));
        let mut of_all = empty();
        of_all.bytes = ALL_BYTES_MAX - COUNTED_BYTES_MIN - 3;
        for (chats, what, max) in [
            (&mut of_one, "bytes of your chats", OWNER_BYTES_MAX),
            (&mut of_all, "bytes of all chats", ALL_BYTES_MAX),
        ] {
            let mut put = |chat, bytes| {
                let args = KeepChatArgs {
                    chat: named(chat),
                    sealed: vec![0; bytes],
                };
                keep(chats, person(1), &args, NOW).map(drop)
            };
            assert_eq!(put(1, least + 4), full(what, max));
            assert_eq!(put(1, least + 3), Ok(()));
            assert_eq!(put(2, 1), full(what, max));
            assert_eq!(put(1, 1), Ok(()), "one that is there may shrink");
        }
    }

    #[test]
    fn the_anonymous_principal_keeps_and_drops_nothing() {
        let mut chats = empty();
        let nobody = Principal::anonymous();
        let args = KeepChatArgs {
            chat: named(1),
            sealed: vec![1],
        };
        assert_eq!(
            keep(&mut chats, nobody, &args, NOW),
            Err(ChatsError::Anonymous)
        );
        assert_eq!(
            drop_one(&mut chats, nobody, &named(1)),
            Err(ChatsError::Anonymous)
        );
        assert_eq!(drop_all(&mut chats, nobody), Err(ChatsError::Anonymous));
        assert!(chats.lines.is_empty());
    }
}
