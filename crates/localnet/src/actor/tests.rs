use std::sync::mpsc::sync_channel;

use super::*;

fn actor(pace: Pace) -> Actor {
    let setup = Setup {
        topology: Arc::new(Topology::new(&[1; 32])),
        seed: [1; 32],
        system: SystemPlan::none(),
        module_cache: None,
        state: None,
        pace,
    };
    Actor::new(setup, Arc::default()).unwrap()
}

#[test]
fn a_full_queue_is_busy_and_a_gone_thread_has_stopped() {
    let (requests, receiver) = sync_channel(1);
    let handle = Handle {
        requests,
        stop: Arc::new(AtomicBool::new(false)),
        clock: Arc::default(),
    };
    handle.stop();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let query = || {
        let query = Query {
            sender: Principal::anonymous(),
            canister: Principal::management_canister(),
            method: "m".to_owned(),
            arg: Vec::new(),
            info: None,
        };
        runtime.block_on(handle.query(
            RequestId([0; 32]),
            query,
            Principal::anonymous(),
            RangeForm::Flat,
        ))
    };
    assert_eq!(query(), Err(Unavailable::Busy));
    drop(receiver);
    assert_eq!(query(), Err(Unavailable::Stopped));
}

#[test]
fn the_number_of_those_who_wait_is_limited() {
    let mut actor = actor(Pace::Live(Duration::ZERO));
    let waiting: Vec<_> = (0..WAITING_MAX)
        .map(|_| actor.wait(RequestId([7; 32]), RangeForm::Sharded))
        .collect();
    assert!(waiting.iter().all(Option::is_some));
    assert!(actor.wait(RequestId([8; 32]), RangeForm::Sharded).is_none());
    drop(waiting);
    actor.answer_waiting();
    assert!(actor.wait(RequestId([8; 32]), RangeForm::Sharded).is_some());
}

#[test]
fn nothing_wakes_an_idle_network_but_the_longest_sleep() {
    let mut actor = actor(Pace::Live(Duration::ZERO));
    assert_eq!(actor.until_task(), None);
    assert_eq!(actor.sleep(), SLEEP_MAX);
    actor.more = true;
    assert_eq!(actor.sleep(), Duration::ZERO);
}

#[test]
fn a_network_that_is_not_live_moves_on_request_only() {
    let start = Time(1_620_328_630_000_000_000);
    let mut actor = actor(Pace::OnRequest(start));
    actor.more = true;
    actor.follow_clock();
    assert_eq!(actor.network().time(), start);
    assert_eq!(actor.sleep(), SLEEP_MAX);
    actor.round();
    assert_eq!(actor.network().time(), start.plus_nanos(1));

    actor.set_live(Some(Duration::ZERO));
    assert!(actor.network().time() > start.plus_nanos(1));
    assert_eq!(actor.sleep(), Duration::ZERO);
    actor.set_live(None);
    let stopped = actor.network().time();
    actor.follow_clock();
    assert_eq!(actor.network().time(), stopped);
}

#[test]
fn a_slowed_network_lets_time_pass_between_rounds() {
    let mut actor = actor(Pace::Live(Duration::from_secs(3600)));
    actor.more = true;
    actor.round();
    actor.more = true;
    assert!(actor.until_round().unwrap() > Duration::from_secs(3000));
}
