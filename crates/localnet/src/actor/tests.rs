use std::sync::mpsc::sync_channel;

use super::*;

#[test]
fn a_full_queue_is_busy_and_a_gone_thread_has_stopped() {
    let (requests, receiver) = sync_channel(1);
    let handle = Handle {
        requests,
        stop: Arc::new(AtomicBool::new(false)),
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
    let mut actor = Actor::new(Arc::new(Topology::new(&[1; 32])), [1; 32], None);
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
    let actor = Actor::new(Arc::new(Topology::new(&[1; 32])), [1; 32], None);
    assert_eq!(actor.until_task(), None);
    assert_eq!(actor.sleep(false), SLEEP_MAX);
    assert_eq!(actor.sleep(true), Duration::ZERO);
}
