//! The engine as WebAssembly for browsers.
//!
//! A module holds one model. JavaScript writes the model file into memory as it arrives, opens it, and then talks in JSON: a request
//! goes in, an answer comes out ([`session::Session`]). Generations and checks advance by one step a call, so that whoever calls
//! can show tokens and stop in between. What comes out is what any other machine gets, to the bit.
//!
//! The module imports nothing. It exports `room`, `open`, `request_room`, `call`, `answer_at` and `answer_length`.
#![allow(unsafe_code, reason = "exports of a WebAssembly module")]

use std::cell::RefCell;

pub mod session;

use session::Session;

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// What one module holds.
#[derive(Debug, Default)]
struct State {
    session: Option<Session>,
    request: Vec<u8>,
    answer: String,
}

/// Makes room for a model file of `length` bytes; JavaScript writes it there.
#[unsafe(no_mangle)]
pub extern "C" fn room(length: usize) -> *mut u8 {
    Box::leak(vec![0; length].into_boxed_slice()).as_mut_ptr()
}

/// Opens the model file that lies where [`room`] said, and checks all of it. The answer is [`session::Opened`] or an error.
///
/// # Safety
/// `at` came from `room(length)` and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(at: *mut u8, length: usize) {
    // SAFETY: by the caller's word this is a boxed slice of that length.
    let file = unsafe { Vec::from_raw_parts(at, length, length) };
    STATE.with_borrow_mut(|state| {
        state.answer = match Session::open(file) {
            Ok((session, opened)) => {
                state.session = Some(session);
                session::text(Ok::<_, session::Error>(opened))
            }
            Err(error) => session::text::<()>(Err(error)),
        };
    });
}

/// Makes room for a request of `length` bytes of JSON, until the next [`call`].
#[unsafe(no_mangle)]
pub extern "C" fn request_room(length: usize) -> *mut u8 {
    STATE.with_borrow_mut(|state| {
        state.request = vec![0; length];
        state.request.as_mut_ptr()
    })
}

/// Answers the request that was written where [`request_room`] said.
#[unsafe(no_mangle)]
pub extern "C" fn call() {
    STATE.with_borrow_mut(|state| {
        let request = std::mem::take(&mut state.request);
        state.answer = match &mut state.session {
            Some(session) => session.call(&request),
            None => session::text::<()>(Err(session::Error::NoModel)),
        };
    });
}

/// Where the last answer lies: JSON in UTF-8, until the next call of anything.
#[unsafe(no_mangle)]
pub extern "C" fn answer_at() -> *const u8 {
    STATE.with_borrow(|state| state.answer.as_ptr())
}

/// Bytes of the last answer.
#[unsafe(no_mangle)]
pub extern "C" fn answer_length() -> usize {
    STATE.with_borrow(|state| state.answer.len())
}

/// Where the tokenizer's library gets its randomness: it seeds hash maps, whose order reaches no result. Always the same bytes.
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(
    to: *mut u8,
    length: usize,
) -> Result<(), getrandom::Error> {
    // SAFETY: getrandom's contract: so many bytes may be written there.
    unsafe { std::ptr::write_bytes(to, 0x5a, length) };
    Ok(())
}
