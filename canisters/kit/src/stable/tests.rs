use std::ops::Bound as B;

use assay_protocol::{Cycles, Hash32, JobId, store::MemoryTable};
use candid::Principal;
use expect_test::expect;
use ic_stable_structures::memory_manager::{MemoryId, MemoryManager};
use proptest::{collection::vec, prelude::*};
use serde::Deserialize;

use super::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    id: JobId,
    owner: Principal,
    hash: Hash32,
    amount: Cycles,
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
    choice: Choice,
    maybe: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Choice {
    Unit,
    Tuple(String),
    Record { positions: Vec<u32> },
}

fn everything() -> Everything {
    Everything {
        id: JobId(7),
        owner: Principal::from_slice(&[1, 2, 3]),
        hash: Hash32([9; 32]),
        amount: Cycles(u128::MAX),
        bytes: vec![0, 255],
        choice: Choice::Record {
            positions: vec![1, 70_000],
        },
        maybe: None,
    }
}

fn memories() -> MemoryManager<DefaultMemoryImpl> {
    MemoryManager::init(DefaultMemoryImpl::default())
}

#[test]
fn every_kind_of_field_survives_storage() {
    for choice in [
        Choice::Unit,
        Choice::Tuple("ä".to_owned()),
        everything().choice,
    ] {
        for (amount, maybe) in [
            (0, Some(0)),
            (u128::from(u64::MAX) + 1, Some(u64::MAX)),
            (u128::MAX, None),
        ] {
            let value = Everything {
                amount: Cycles(amount),
                maybe,
                choice: choice.clone(),
                ..everything()
            };
            assert_eq!(
                Record::<Everything>::from_bytes(Record(value.clone()).to_bytes()).0,
                value
            );
        }
    }
    for principal in [
        Principal::anonymous(),
        Principal::management_canister(),
        Principal::from_slice(&[7; 29]),
    ] {
        assert_eq!(
            Key::<Principal>::from_bytes(Key(principal).to_bytes()).0,
            principal
        );
    }
}

#[test]
fn the_stored_bytes_are_pinned() {
    let bytes = Record(everything()).into_bytes();
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    expect!["01a762696407656f776e65724301020364686173685820090909090909090909090909090909090909090909090909090909090909090966616d6f756e74c250ffffffffffffffffffffffffffffffff6562797465734200ff6663686f696365a1665265636f7264a169706f736974696f6e7382011a00011170656d61796265f6"].assert_eq(&text);
}

#[test]
#[should_panic(expected = "layout v2, newer than v1")]
fn a_record_of_a_newer_release_is_refused() {
    Record::<u64>::from_bytes(Cow::Borrowed(&[2, 0]));
}

#[test]
fn a_log_and_a_value_are_found_again() {
    let memories = memories();
    let mut log = StableLog::init(
        memories.get(MemoryId::new(0)),
        memories.get(MemoryId::new(1)),
    );
    let value = StableValue::init(memories.get(MemoryId::new(2)), 1u32);
    assert_eq!((log.append(&everything()), value.get()), (0, 1));
    value.set(2);

    let log = StableLog::<Everything>::init(
        memories.get(MemoryId::new(0)),
        memories.get(MemoryId::new(1)),
    );
    let value = StableValue::init(memories.get(MemoryId::new(2)), 1u32);
    assert_eq!(
        (log.get(0), log.get(1), log.len(), value.get()),
        (Some(everything()), None, 1, 2)
    );
}

#[derive(Clone, Debug)]
enum Step {
    Insert((u8, u8), String),
    Remove((u8, u8)),
    Scan(B<(u8, u8)>, B<(u8, u8)>),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || (0..4u8, 0..8u8);
    let bound = || {
        prop_oneof![
            Just(B::Unbounded),
            key().prop_map(B::Included),
            key().prop_map(B::Excluded)
        ]
    };
    prop_oneof![
        6 => (key(), "[a-z]{0,300}").prop_map(|(key, value)| Step::Insert(key, value)),
        2 => key().prop_map(Step::Remove),
        4 => (bound(), bound()).prop_map(|(start, end)| Step::Scan(start, end)),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn stable_tables_behave_like_tables_on_the_heap(steps in vec(step(), 1..120)) {
        let memories = memories();
        let mut stable = StableTable::<(u8, u8), String>::init(memories.get(MemoryId::new(0)));
        let mut heap = MemoryTable::<(u8, u8), String>::default();
        for step in steps {
            match step {
                Step::Insert(key, value) => prop_assert_eq!(stable.insert(key, value.clone()), heap.insert(key, value)),
                Step::Remove(key) => prop_assert_eq!(stable.remove(&key), heap.remove(&key)),
                Step::Scan(start, end) => {
                    prop_assert_eq!(stable.range((start, end)).collect::<Vec<_>>(), heap.range((start, end)).collect::<Vec<_>>());
                    prop_assert_eq!(stable.keys((start, end)).rev().collect::<Vec<_>>(), heap.keys((start, end)).rev().collect::<Vec<_>>());
                    prop_assert_eq!(stable.range((start, end)).next_back(), heap.range((start, end)).next_back());
                }
                Step::Reopen => stable = StableTable::init(memories.get(MemoryId::new(0))),
            }
            prop_assert_eq!(stable.len(), heap.len());
        }
        for (key, value) in heap.range(..) {
            prop_assert!(stable.contains(&key));
            prop_assert_eq!(stable.get(&key), Some(value));
        }
    }
}
