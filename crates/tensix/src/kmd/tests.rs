//! Through a scripted driver: nothing here has met a card.

mod double;

use double::{Double, FIRST, Fault};

use super::*;
use crate::device::{DeviceError, Job};
use crate::isa::mailbox;
use crate::isa::tile::{ALL_HELD, SOFT_RESET};

fn job() -> Job {
    Job {
        blocks: 1,
        columns: 1,
        steps: 1,
        activations: mailbox::ARENA,
        results: mailbox::ARENA + mailbox::CHUNK_BYTES,
        weights: 1 << 20,
        stride: mailbox::STEP_BYTES,
        channel: Tile::new(0, 1),
        narrow: false,
    }
}

#[test]
fn a_card_opens_with_power_and_all_cores_in_reset() {
    let double = Double::new(Fault::None);
    let mut device = double.device().unwrap();
    assert_eq!(device.tiles().len(), 64, "two of ten rows are fused off");
    assert_eq!(device.tiles()[0], FIRST);
    assert_eq!(double.0.lock().unwrap().power, 0b111);
    device.run(&[(FIRST, job())]).unwrap();
    assert_eq!(double.word(FIRST, SOFT_RESET.into()), ALL_HELD);
}

#[test]
fn what_all_tiles_are_told_arrives_at_each_and_at_no_other() {
    let double = Double::new(Fault::None);
    let mut device = double.device().unwrap();
    device
        .write_all(0x3_0000, &[1, 0, 0, 0, 2, 0, 0, 0])
        .unwrap();
    let state = double.0.lock().unwrap();
    let told = |address| -> Vec<Tile> {
        let at = |((tile, at), _): (&(Tile, u64), &u32)| (*at == address).then_some(*tile);
        state.words.iter().filter_map(at).collect()
    };
    let mut tiles = device.tiles().to_vec();
    tiles.sort();
    assert_eq!(told(0x3_0000), tiles);
    assert_eq!(told(0x3_0004), tiles);
    assert_eq!(state.word(FIRST, 0x3_0004), 2);
}

#[test]
fn a_process_that_dies_leaves_every_tile_to_the_driver() {
    let double = Double::new(Fault::None);
    let device = double.device().unwrap();
    let registered = double.0.lock().unwrap().on_close.clone();
    let expected: Vec<_> = device
        .tiles()
        .iter()
        .map(|tile| (*tile, u64::from(SOFT_RESET), ALL_HELD))
        .collect();
    assert_eq!(registered, expected);
}

#[test]
fn smaller_windows_serve_where_the_large_ones_are_taken() {
    let double = Double::new(Fault::FewWindows);
    let mut device = double.device().unwrap();
    assert_eq!(double.0.lock().unwrap().window_bytes, 1 << 20);
    device.run(&[(FIRST, job())]).unwrap();
}

#[test]
fn a_card_that_must_not_be_used_is_refused_with_what_to_do() {
    for (fault, says) in [
        (
            Fault::NoNode,
            "/dev/tenstorrent/3: not found; install the tt-kmd driver and see `ls /dev/tenstorrent`",
        ),
        (
            Fault::Denied,
            "/dev/tenstorrent/3: permission denied; add this user to the group that owns the node, or install the driver's udev rule",
        ),
        (
            Fault::Locked,
            "/dev/tenstorrent/3: in use by another worker; stop that program, a chip has one owner",
        ),
        (
            Fault::TakenExclusively,
            "/dev/tenstorrent/3: in use by another program; stop that program, a chip has one owner",
        ),
        (
            Fault::OpenElsewhere,
            "/dev/tenstorrent/3: in use by process 17, 4711; stop that program, a chip has one owner",
        ),
        (
            Fault::Blackhole,
            "/dev/tenstorrent/3: PCI device 1e52:b140 is no Wormhole (1e52:401e); choose another device",
        ),
        (
            Fault::OldDriver,
            "/dev/tenstorrent/3: driver interface 1, needs 2; install a current tt-kmd",
        ),
        (
            Fault::SilentFirmware,
            "/dev/tenstorrent/3: firmware: it reports no version; update it with tt-flash",
        ),
        (
            Fault::NoTelemetry,
            "/dev/tenstorrent/3: firmware: no telemetry (0x0); update it with tt-flash",
        ),
    ] {
        let error = Double::new(fault).device().unwrap_err();
        assert_eq!(error.to_string(), says);
    }
}

#[test]
fn a_job_that_hangs_meets_its_deadline_and_its_cores_are_back_in_reset() {
    let double = Double::new(Fault::Hang);
    let mut device = double.device().unwrap();
    let error = device.run(&[(FIRST, job())]).unwrap_err();
    assert!(
        error.to_string().starts_with(
            "/dev/tenstorrent/3: tile (18, 18) did not finish within 0.02 s (0 slots of weights read, 0 used)"
        ),
        "{error}"
    );
    assert_eq!(double.word(FIRST, SOFT_RESET.into()), ALL_HELD);
    let error = device.run(&[(FIRST, job())]).unwrap_err();
    assert!(matches!(error, DeviceError::CutOff { .. }), "{error}");
}

#[test]
fn a_reset_in_the_middle_of_a_job_is_told() {
    let double = Double::new(Fault::Meddler);
    let error = double.device().unwrap().run(&[(FIRST, job())]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/dev/tenstorrent/3: tile (18, 18) was reset during a job (soft reset 0x47800); stop what else uses this card"
    );
}

#[test]
fn a_card_that_is_reset_under_a_job_is_told_and_not_touched_again() {
    let double = Double::new(Fault::CardReset);
    let mut device = double.device().unwrap();
    let error = device.run(&[(FIRST, job())]).unwrap_err();
    assert!(
        matches!(error, DeviceError::Noc(NocError::Lost { .. })),
        "{error}"
    );
    let touched = double.0.lock().unwrap().after_reset.get();
    drop(device);
    assert_eq!(double.0.lock().unwrap().after_reset.get(), touched);
}

#[test]
fn an_unplugged_card_is_told_and_nothing_hangs() {
    let double = Double::new(Fault::Unplugged);
    let mut device = double.device().unwrap();
    for _ in 0..2 {
        let error = device.run(&[(FIRST, job())]).unwrap_err();
        assert!(
            matches!(
                error,
                DeviceError::Noc(NocError::Lost { .. }) | DeviceError::CutOff { .. }
            ),
            "{error}"
        );
    }
}
