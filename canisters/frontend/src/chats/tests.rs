//! Who keeps, reads and drops what, and the limits.

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

fn bytes_of(chats: &Chats<Memory>, owner: u8, chat: u32) -> Option<Vec<u8>> {
    read(chats, person(owner), &named(chat)).map(|found| {
        assert_eq!(found.kept_at, NOW);
        found.sealed
    })
}

fn named(n: u32) -> Vec<u8> {
    let mut name = vec![0; CHAT_NAME_BYTES];
    name[..4].copy_from_slice(&n.to_be_bytes());
    name
}

fn args(chat: u32, sealed: Vec<u8>) -> KeepChatArgs {
    KeepChatArgs {
        chat: named(chat),
        sealed,
    }
}

fn put(chats: &mut Chats<Memory>, owner: u8, chat: u32, bytes: usize) -> Result<(), ChatsError> {
    let args = args(chat, vec![owner; bytes]);
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
    assert_eq!(bytes_of(&chats, 1, 7), Some(vec![1; 30]));
    assert_eq!(bytes_of(&chats, 2, 7), Some(vec![2; 40]));
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
    assert_eq!(bytes_of(&chats, 1, 7), Some(vec![1; 30]));
    assert_eq!((chats.lines.len(), chats.bytes), (1, COUNTED_BYTES_MIN));
}

#[test]
fn what_nobody_kept_anew_for_too_long_goes_a_little_at_a_time() {
    let mut chats = empty();
    for chat in 0..4 {
        put(&mut chats, 1, chat, 10).unwrap();
    }
    let mut at = |seconds| {
        let args = args(9, vec![0; 5]);
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
        let args = args(chat, vec![0; 1]);
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
            let args = args(chat, vec![0; bytes]);
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
    let args = args(1, vec![1]);
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
