//! What things would cost: the `cost_…` functions.

use candid::CandidType;
use serde::Deserialize;

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
    let key = std::str::from_utf8(key).map_err(|_| {
        Fault::Contract(format!(
            "Failed to decode key name {}",
            String::from_utf8_lossy(key)
        ))
    })?;
    if curve >= curves {
        return Ok(Err(UNKNOWN_CURVE));
    }
    Ok(prices.threshold_signature(key).ok_or(UNKNOWN_KEY))
}

/// What `cost_http_request_v2` is told of an outcall.
#[derive(CandidType, Debug, Deserialize)]
struct Outcall {
    request_bytes: u64,
    http_roundtrip_time_ms: u64,
    raw_response_bytes: u64,
    transformed_response_bytes: u64,
    transform_instructions: u64,
}

/// Price of an HTTPS outcall that is paid for by what it uses; `params` is Candid.
pub(super) fn http_request_v2(prices: Prices, params: &[u8]) -> Result<u128, Fault> {
    let mut config = candid::DecoderConfig::new();
    config.set_skipping_quota(0);
    let Outcall {
        request_bytes,
        http_roundtrip_time_ms,
        raw_response_bytes,
        transformed_response_bytes,
        transform_instructions,
    } = candid::utils::decode_one_with_config(params, &config).map_err(|error| {
        Fault::Contract(format!(
            "Failed to decode HttpRequestV2CostParams from Candid: {error}"
        ))
    })?;
    Ok(prices.http_request_v2(
        request_bytes,
        http_roundtrip_time_ms,
        raw_response_bytes,
        transformed_response_bytes,
        transform_instructions,
    ))
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

    #[test]
    fn outcalls_are_priced_by_what_they_use() {
        let outcall = |bytes| {
            let outcall = Outcall {
                request_bytes: bytes,
                http_roundtrip_time_ms: 10,
                raw_response_bytes: 100,
                transformed_response_bytes: 10,
                transform_instructions: 1_300,
            };
            http_request_v2(Prices::of_nodes(13), &candid::encode_one(outcall).unwrap())
        };
        let base = 1_000_000 + 140_000 * 13 + 800 * 169 + 5_000 + 3_000 + 100 + 7_800;
        assert_eq!(outcall(0), Ok(base * 13));
        assert_eq!(outcall(2), Ok((base + 100) * 13));
        assert!(outcall(u64::MAX).is_ok());
        assert!(http_request_v2(Prices::of_nodes(13), b"DIDL").is_err());
    }
}
