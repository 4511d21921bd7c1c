use super::*;
use crate::topology::{SubnetKind, SubnetPlan, Topology};

/// On the size of subnet that fees are published for, and on one of 34 nodes.
const USUAL: Prices = Prices::of_nodes(13);
const LARGE: Prices = Prices::of_nodes(34);

const GIB: u64 = 1 << 30;
const YEAR: u64 = 31_556_952;

fn on(plan: &SubnetPlan) -> Prices {
    let topology = Topology::plan(&[7; 32], std::slice::from_ref(plan)).unwrap();
    Prices::of(topology.default_subnet())
}

#[test]
fn fees_are_as_published_for_13_nodes() {
    assert_eq!(USUAL.create_canister(), 500_000_000_000);
    assert_eq!(USUAL.compute(1, 1), 10_000_000);
    assert_eq!(USUAL.execution(0, false), 5_000_000);
    assert_eq!(
        USUAL.execution(1_000_000_000, false) - USUAL.execution(0, false),
        1_000_000_000
    );
    assert_eq!(USUAL.call(0), 260_000);
    assert_eq!(USUAL.call(1) - USUAL.call(0), 1_000);
    assert_eq!(USUAL.answer(1), 1_000);
    assert_eq!(USUAL.ingress(0), 1_200_000);
    assert_eq!(USUAL.ingress(1) - USUAL.ingress(0), 2_000);
    assert_eq!(USUAL.storage(GIB, 1), 127_000);
    assert_eq!(USUAL.log_fetch(0), 13_000_000);
    assert_eq!(USUAL.log_fetch(1) - USUAL.log_fetch(0), 800 * 13);
    assert_eq!(USUAL.http_request(0, 0), 49_140_000);
    assert_eq!(
        USUAL.http_request(1, 0) - USUAL.http_request(0, 0),
        400 * 13
    );
    assert_eq!(
        USUAL.http_request(0, 1) - USUAL.http_request(0, 0),
        800 * 13
    );
    assert_eq!(
        USUAL.threshold_signature("test_key_1"),
        Some(10_000_000_000)
    );
    assert_eq!(USUAL.threshold_signature("key_1"), Some(26_153_846_153));
    assert_eq!(USUAL.threshold_signature("mine"), None);
}

#[test]
fn fees_are_as_published_for_34_nodes() {
    assert_eq!(LARGE.create_canister(), 1_307_692_307_692);
    assert_eq!(LARGE.compute(1, 1), 26_153_846);
    assert_eq!(LARGE.execution(0, false), 13_076_923);
    assert_eq!(LARGE.execution(1_000_000_000, false), 2_628_461_538);
    assert_eq!(LARGE.call(0), 680_000);
    assert_eq!(LARGE.answer(1), 2_615);
    assert_eq!(LARGE.ingress(0), 3_138_461);
    assert_eq!(LARGE.ingress(1_000) - LARGE.ingress(0), 5_230_000);
    assert_eq!(LARGE.log_fetch(0), 34_000_000);
    assert_eq!(LARGE.storage(GIB, 1), 332_153);
    assert_eq!(LARGE.http_request(0, 0), 171_360_000);
}

#[test]
fn instructions_of_modules_with_wide_memories_cost_twice() {
    let of = |wide| USUAL.execution(1_000, wide) - USUAL.execution(0, wide);
    assert_eq!((of(false), of(true)), (1_000, 2_000));
    assert_eq!(USUAL.execution(0, true), USUAL.execution(0, false));
}

#[test]
fn a_gib_costs_four_trillion_a_year() {
    let year = USUAL.storage(GIB, YEAR);
    assert!(
        (4_000_000_000_000..4_010_000_000_000).contains(&year),
        "{year}"
    );
    assert_eq!(USUAL.storage(GIB / 2, 2), 127_000);
    assert_eq!(USUAL.storage(1, 1), 0, "less than a cycle");
}

#[test]
fn what_is_frozen_is_what_idling_costs_for_that_long() {
    let day = 127_000 * 86_400 + 5 * 10_000_000 * 86_400;
    assert_eq!(USUAL.idle_day(GIB, 5), day);
    assert_eq!(USUAL.idle(GIB, 5, 86_400), day);
    assert_eq!(USUAL.idle(GIB, 5, 10), 1_270_000 + 500_000_000);
    assert_eq!(
        USUAL.idle(1_000, 0, 10),
        1,
        "10 of the 86,400 parts of 10,219 cycles"
    );
    assert_eq!(USUAL.freezing(GIB, 5, 2_592_000), 30 * day);
    assert_eq!(USUAL.freezing(GIB, 5, 0), 0);
    assert_eq!(USUAL.freezing(0, 0, u64::MAX), 0);
    USUAL.freezing(u64::MAX, u64::MAX, u64::MAX);
}

#[test]
fn memory_is_paid_ahead_on_full_subnets_only() {
    assert_eq!(USUAL.reservation(0, 450 * GIB), 0);
    assert_eq!(USUAL.reservation(449 * GIB, GIB), 0);
    let (early, late) = (
        USUAL.reservation(500 * GIB, GIB),
        USUAL.reservation(2_000 * GIB, GIB),
    );
    assert!(0 < early && early < late);
    let most = USUAL.storage(GIB, RESERVATION_SECONDS);
    assert!(late < most);
    let last = USUAL.reservation(2_047 * GIB, GIB);
    assert!(last > most * 99 / 100 && last <= most);
    USUAL.reservation(u64::MAX, u64::MAX);
}

#[test]
fn system_subnets_charge_for_signatures_only_and_free_ones_for_nothing() {
    for kind in [SubnetKind::Nns, SubnetKind::Ii, SubnetKind::System] {
        let prices = on(&SubnetPlan::of(kind));
        assert_eq!(prices.create_canister(), 0);
        assert_eq!(prices.execution(1_000_000, false), 0);
        assert_eq!(prices.call(1_000), 0);
        assert_eq!(prices.ingress(1_000), 0);
        assert_eq!(prices.idle_day(GIB, 100), 0);
        assert_eq!(prices.http_request(1, 1), 0);
        assert_eq!(prices.threshold_signature("key_1"), Some(26_153_846_153));
    }
    let free = on(&SubnetPlan {
        cost: CostSchedule::Free,
        ..SubnetPlan::of(SubnetKind::Application)
    });
    assert_eq!(free.execution(1_000_000, false), 0);
    assert_eq!(free.http_request(1, 1), 0);
    assert_eq!(free.threshold_signature("key_1"), Some(0));
    assert_eq!(on(&SubnetPlan::of(SubnetKind::Application)), USUAL);
    assert_eq!(on(&SubnetPlan::of(SubnetKind::Fiduciary)), LARGE);
}

#[test]
fn cycles_are_written_in_groups() {
    for (cycles, text) in [
        (0, "0"),
        (999, "999"),
        (1_000, "1_000"),
        (26_153_846_153, "26_153_846_153"),
    ] {
        assert_eq!(grouped(cycles), text);
    }
}
