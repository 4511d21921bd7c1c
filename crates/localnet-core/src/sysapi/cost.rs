//! What things would cost: the `cost_…` functions.

use super::Fault;
use crate::cycles::Prices;

/// What `cost_sign_with_…` answers for a curve or algorithm that does not exist.
const UNKNOWN_CURVE: u32 = 1;
/// What it answers for a key that does not exist.
const UNKNOWN_KEY: u32 = 2;

/// Price of a signature with the key of this name, or an error for canister code.
pub(super) fn signature(
    prices: Prices,
    key: &[u8],
    curve: u32,
    curves: u32,
) -> Result<Result<u128, u32>, Fault> {
    let key = std::str::from_utf8(key)
        .map_err(|_| Fault::Contract("the key name is not valid UTF-8".into()))?;
    if curve >= curves {
        return Ok(Err(UNKNOWN_CURVE));
    }
    Ok(prices.threshold_signature(key).ok_or(UNKNOWN_KEY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_prices_tell_unknown_curves_from_unknown_keys() {
        let signature = |key: &[u8], curve| signature(Prices::of_nodes(13), key, curve, 1);
        assert_eq!(signature(b"key_1", 0), Ok(Ok(26_153_846_153)));
        assert_eq!(signature(b"key_1", 1), Ok(Err(UNKNOWN_CURVE)));
        assert_eq!(signature(b"mine", 0), Ok(Err(UNKNOWN_KEY)));
        assert!(signature(&[0xff], 0).is_err());
    }
}
