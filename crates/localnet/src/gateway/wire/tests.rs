use candid::{Encode, define_function};

use super::*;

#[derive(CandidType)]
struct Token {
    key: String,
    index: candid::Nat,
    hash: Option<Vec<u8>>,
    kind: Kind,
}

#[derive(CandidType)]
enum Kind {
    #[expect(dead_code, reason = "a variant that the value is not")]
    Plain,
    Packed(u64),
}

define_function!(Func : (Token) -> (Part) query);

#[derive(CandidType)]
enum Strategy {
    Callback { callback: Func, token: Token },
}

#[derive(CandidType)]
struct Answer {
    status_code: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    streaming_strategy: Option<Strategy>,
    unknown: Vec<u32>,
}

fn token() -> Token {
    Token {
        key: "/big".to_owned(),
        index: 3u8.into(),
        hash: Some(vec![7; 32]),
        kind: Kind::Packed(9),
    }
}

fn answer() -> Answer {
    Answer {
        status_code: 200,
        headers: vec![("a".to_owned(), "b".to_owned())],
        body: vec![1, 2, 3],
        streaming_strategy: Some(Strategy::Callback {
            callback: Func::new(Principal::anonymous(), "more".to_owned()),
            token: token(),
        }),
        unknown: vec![1, 2],
    }
}

#[test]
fn a_token_of_any_type_goes_back_as_it_came() {
    let response: HttpResponse = read(&Encode!(&answer()).unwrap()).unwrap();
    assert_eq!((response.status_code, response.body.len()), (200, 3));
    assert_eq!(response.upgrade, None, "a field that is missing is null");
    let Some(StreamingStrategy::Callback(callback)) = response.streaming_strategy else {
        panic!("no strategy");
    };
    assert_eq!(
        callback.callback.as_method(),
        Some((Principal::anonymous(), "more"))
    );
    let sent = callback.token.as_argument().unwrap();
    let value = |bytes: &[u8]| IDLArgs::from_bytes(bytes).unwrap();
    assert_eq!(value(&sent), value(&Encode!(&token()).unwrap()));
}

#[test]
fn an_answer_that_is_none_is_an_error() {
    assert!(read::<HttpResponse>(b"").is_err());
    assert!(read::<HttpResponse>(b"DIDL\0\0").is_err());
    assert!(read::<HttpResponse>(&Encode!(&"text").unwrap()).is_err());
}

#[test]
fn small_answers_that_claim_to_be_huge_are_given_up() {
    #[derive(CandidType)]
    struct Padded {
        status_code: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
        unknown: Vec<candid::Reserved>,
    }
    let padded = |count| Padded {
        status_code: 200,
        headers: Vec::new(),
        body: Vec::new(),
        unknown: vec![candid::Reserved; count],
    };
    assert!(read::<HttpResponse>(&Encode!(&padded(10)).unwrap()).is_ok());
    let error = read::<HttpResponse>(&Encode!(&padded(SKIPPING_QUOTA)).unwrap()).unwrap_err();
    assert_eq!(reason(&error), "Skipping cost exceeds the limit");
}
