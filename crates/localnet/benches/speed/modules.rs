//! The canisters that are measured.

use anyhow::Context as _;

/// A canister that counts: `inc` adds one and replies with nothing, `get` replies with the eight bytes of the count.
const COUNTER: &str = r#"
(module
  (import "ic0" "msg_reply" (func $msg_reply))
  (import "ic0" "msg_reply_data_append" (func $msg_reply_data_append (param i32 i32)))
  (memory 1)
  (func (export "canister_update inc")
    (i64.store (i32.const 0) (i64.add (i64.load (i32.const 0)) (i64.const 1)))
    (call $msg_reply))
  (func (export "canister_query get")
    (call $msg_reply_data_append (i32.const 0) (i32.const 8))
    (call $msg_reply)))
"#;

/// The module that counts.
pub(crate) fn counter() -> anyhow::Result<Vec<u8>> {
    wat::parse_str(COUNTER).context("BUG: the counter is no Wasm text")
}

/// The count in a reply.
pub(crate) fn count(reply: &[u8]) -> anyhow::Result<u64> {
    let bytes = reply
        .try_into()
        .context("the counter's reply has not eight bytes")?;
    Ok(u64::from_le_bytes(bytes))
}

/// The same code under another hash, so that nothing compiled before fits.
pub(crate) fn variant(module: &[u8], number: u64) -> anyhow::Result<Vec<u8>> {
    let unpacked = module.starts_with(b"\0asm");
    anyhow::ensure!(unpacked, "the module is packed; name the .wasm file");
    let name = b"bench";
    let mut content = vec![u8::try_from(name.len())?];
    content.extend(name);
    content.extend(number.to_le_bytes());
    let mut changed = module.to_vec();
    changed.extend([0, u8::try_from(content.len())?]);
    changed.extend(content);
    Ok(changed)
}
