//! The frontend canister: files are published all at once, survive upgrades, and are its controllers' alone.

use assay_jobs_core::testing::requester;
use assay_protocol::{
    chats::{
        CHATS_PER_OWNER_MAX, ChatsError, KeepChatArgs, KeptChat, SEALED_BYTES_MAX, SealedChat,
    },
    frontend::{FILE_BYTES_MAX, FrontendError, PieceArgs, Published},
};
use candid::{Principal, encode_args};
use serde_bytes::ByteBuf;

use crate::chain::{Chain, admin};

/// Bytes that tests stage at once.
const PIECE: usize = 1_500_000;
const RULES: &[u8] = br#"{"headers":{"X-Frame-Options":"DENY"},"rules":[],"types":{"html":"text/html","":"text/plain"}}"#;

fn stage(chain: &mut Chain, page: Principal, path: &str, bytes: &[u8]) {
    for (n, piece) in bytes.chunks(PIECE).enumerate() {
        let args = PieceArgs {
            path: path.to_owned(),
            offset: (n * PIECE) as u64,
            bytes: piece.to_vec(),
        };
        let told: Result<u64, FrontendError> = chain.update(admin(), page, "stage", (args,));
        told.unwrap();
    }
}

fn publish(chain: &mut Chain, page: Principal) -> Result<Published, FrontendError> {
    chain.update(admin(), page, "publish", ())
}

fn start() -> (Chain, Principal) {
    let mut chain = Chain::bare(1);
    let page = chain.install("frontend", &encode_args(()).unwrap());
    (chain, page)
}

#[test]
fn what_is_published_is_served_and_survives_an_upgrade_with_more_staged() {
    let (mut chain, page) = start();
    assert_eq!(chain.http(page, "GET", "/").status_code, 503);
    let told = publish(&mut chain, page);
    assert!(
        matches!(&told, Err(FrontendError::Invalid { problem, .. }) if problem.contains("nothing is staged")),
        "{told:?}"
    );

    // More than one message's worth of a file, which a gateway asks for in parts.
    let film: Vec<u8> = (0..4_500_001).map(|at| (at % 251) as u8).collect();
    for (path, bytes) in [
        ("/assets.json", RULES),
        ("/index.html", b"<p>one"),
        ("/film.bin", &film),
    ] {
        stage(&mut chain, page, path, bytes);
    }
    let published = publish(&mut chain, page).unwrap();
    assert_eq!((published.files, published.generation), (3, 1));
    let served = |chain: &mut Chain, text: &str| {
        let answer = chain.http(page, "GET", "/");
        assert_eq!(answer.status_code, 200);
        assert_eq!(answer.body, text.as_bytes());
        let header = |name: &str| {
            let found = answer.headers.iter();
            found
                .filter(|(other, _)| other.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.clone())
                .collect::<String>()
        };
        assert_eq!(header("x-frame-options"), "DENY");
        assert!(header("ic-certificate").contains("certificate=:"));
        assert!(header("set-cookie").starts_with("ic_env=ic_root_key%3D3081"));
    };
    served(&mut chain, "<p>one");
    let part = chain.http(page, "GET", "/film.bin");
    assert_eq!(part.status_code, 206);
    assert_eq!(part.body, film[..part.body.len()]);
    assert_eq!(chain.http(page, "GET", "/nothing").status_code, 404);

    stage(&mut chain, page, "/index.html", b"<p>two");
    chain
        .upgrade(page, "frontend", &encode_args(()).unwrap())
        .unwrap();
    served(&mut chain, "<p>one");
    let told = publish(&mut chain, page);
    assert!(
        matches!(&told, Err(FrontendError::Invalid { path, .. }) if path == "/assets.json"),
        "{told:?}"
    );
    served(&mut chain, "<p>one");
    stage(&mut chain, page, "/assets.json", RULES);
    let published = publish(&mut chain, page).unwrap();
    assert_eq!((published.files, published.generation), (2, 2));
    served(&mut chain, "<p>two");
    assert_eq!(chain.http(page, "GET", "/film.bin").status_code, 404);
}

#[test]
fn only_controllers_stage_discard_and_publish() {
    let (mut chain, page) = start();
    let caller = Principal::self_authenticating([1]);
    let refused = Err(FrontendError::NotAController { caller });
    let args = PieceArgs {
        path: "/a".to_owned(),
        offset: 0,
        bytes: Vec::new(),
    };
    let told: Result<u64, FrontendError> = chain.update(caller, page, "stage", (args,));
    assert_eq!(told, refused.clone().map(|()| 0));
    let told: Result<(), FrontendError> = chain.update(caller, page, "discard", ());
    assert_eq!(told, refused);
    let told: Result<Published, FrontendError> = chain.update(caller, page, "publish", ());
    assert_eq!(told.map(drop), refused);
}

#[test]
fn a_file_of_the_largest_size_is_published_again_and_again() {
    let (mut chain, page) = start();
    let model = vec![7; FILE_BYTES_MAX as usize];
    for generation in 1..=2 {
        stage(&mut chain, page, "/assets.json", RULES);
        stage(&mut chain, page, "/index.html", b"<p>app");
        stage(&mut chain, page, "/models/m.assay", &model);
        let published = publish(&mut chain, page).unwrap();
        assert_eq!((published.files, published.generation), (3, generation));
    }
    // A site that was staged and never published is given up as a whole.
    stage(&mut chain, page, "/models/m.assay", &model);
    let told: Result<(), FrontendError> = chain.update(admin(), page, "discard", ());
    told.unwrap();
    let nothing = encode_args(()).unwrap();
    chain.upgrade(page, "frontend", &nothing).unwrap();
    let part = chain.http(page, "GET", "/models/m.assay");
    assert_eq!((part.status_code, part.body[0]), (206, 7));
}

fn keep(
    chain: &mut Chain,
    page: Principal,
    who: Principal,
    chat: u32,
    sealed: Vec<u8>,
) -> Result<KeptChat, ChatsError> {
    let mut name = vec![0; 16];
    name[..4].copy_from_slice(&chat.to_be_bytes());
    let args = KeepChatArgs { chat: name, sealed };
    chain.update(who, page, "keep_chat", (args,))
}

#[test]
fn sealed_chats_are_their_owners_alone_and_survive_an_upgrade() {
    let (mut chain, page) = start();
    let (one, two) = (requester(1), requester(2));
    let kept = keep(&mut chain, page, one, 7, vec![1; 300]).unwrap();
    keep(&mut chain, page, two, 7, vec![2; 400]).unwrap();
    let anonymous = keep(&mut chain, page, Principal::anonymous(), 7, vec![3]);
    assert_eq!(anonymous, Err(ChatsError::Anonymous));
    let nothing = encode_args(()).unwrap();
    chain.upgrade(page, "frontend", &nothing).unwrap();
    let lines: Vec<KeptChat> = chain.query(one, page, "kept_chats", ());
    assert_eq!(lines, std::slice::from_ref(&kept));
    let name = ByteBuf::from(kept.chat);
    let mut read = |who| -> Option<SealedChat> { chain.query(who, page, "kept_chat", (&name,)) };
    let own = SealedChat {
        sealed: vec![1; 300],
        kept_at: kept.kept_at,
    };
    assert_eq!(read(one), Some(own));
    assert_eq!(read(two).map(|found| found.sealed), Some(vec![2; 400]));
    assert_eq!(read(requester(3)), None);
    let told: Result<(), ChatsError> = chain.update(one, page, "drop_chat", (&name,));
    told.unwrap();
    let told: Result<u32, ChatsError> = chain.update(one, page, "drop_chats", ());
    assert_eq!(told, Ok(0));
    let lines: Vec<KeptChat> = chain.query(two, page, "kept_chats", ());
    assert_eq!(lines.len(), 1);
}

#[test]
fn all_that_one_account_may_keep_is_listed_and_dropped_at_once() {
    let (mut chain, page) = start();
    let one = requester(1);
    for chat in 0..20 {
        keep(&mut chain, page, one, chat, vec![9; SEALED_BYTES_MAX]).unwrap();
    }
    let full = keep(&mut chain, page, one, 20, vec![9]);
    assert!(matches!(full, Err(ChatsError::Full { .. })), "{full:?}");
    let dropped: Result<u32, ChatsError> = chain.update(one, page, "drop_chats", ());
    assert_eq!(dropped, Ok(20));
    for chat in 0..CHATS_PER_OWNER_MAX {
        keep(&mut chain, page, one, chat, vec![9]).unwrap();
    }
    let full = keep(&mut chain, page, one, CHATS_PER_OWNER_MAX, vec![9]);
    assert!(matches!(full, Err(ChatsError::Full { .. })), "{full:?}");
    let lines: Vec<KeptChat> = chain.query(one, page, "kept_chats", ());
    assert_eq!(lines.len(), CHATS_PER_OWNER_MAX as usize);
    let dropped: Result<u32, ChatsError> = chain.update(one, page, "drop_chats", ());
    assert_eq!(dropped, Ok(CHATS_PER_OWNER_MAX));
}

#[test]
fn a_canister_that_must_spare_its_cycles_takes_no_more_chats_and_gives_those_that_it_has() {
    let mut chain = Chain::bare(1);
    let nothing = encode_args(()).unwrap();
    // Half a trillion is for the page; the rest, for a few chats.
    let page = chain.install_with("frontend", &nothing, 560_000_000_000);
    let one = requester(1);
    let mut kept = 0;
    let refused = loop {
        match keep(&mut chain, page, one, kept, vec![9; SEALED_BYTES_MAX]) {
            Ok(_) => kept += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, ChatsError::LowOnCycles);
    assert!((1..20).contains(&kept), "{kept} were kept");
    let lines: Vec<KeptChat> = chain.query(one, page, "kept_chats", ());
    assert_eq!(lines.len() as u32, kept);
    let dropped: Result<u32, ChatsError> = chain.update(one, page, "drop_chats", ());
    assert_eq!(dropped, Ok(kept));
}
