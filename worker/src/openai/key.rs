//! What a server wants to be shown: a key, or for tt-inference-server a token that its secret signs.

use std::{fs, io, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// Bytes of a key or secret.
pub(super) const KEY_BYTES_MAX: u64 = 4_096;
/// What tt-inference-server's clients sign. It compares the whole token, so every byte counts.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const PAYLOAD: &str = r#"{"team_id":"tenstorrent","token_id":"debug-test"}"#;

/// Where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file that holds the key.
    Key(PathBuf),
    /// A file that holds the `JWT_SECRET` of tt-inference-server.
    JwtSecret(PathBuf),
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("{path}: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It holds no key.
    #[error("{path}: {problem}; put the key into it, on one line")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl Source {
    /// The bearer token.
    pub(super) fn bearer(&self) -> Result<String, KeyError> {
        match self {
            Self::Key(path) => read(path),
            Self::JwtSecret(path) => Ok(jwt(&read(path)?)),
        }
    }
}

fn read(path: &PathBuf) -> Result<String, KeyError> {
    let io = |error| KeyError::Io {
        path: path.clone(),
        error,
    };
    let malformed = |problem: String| KeyError::Malformed {
        path: path.clone(),
        problem,
    };
    let bytes = fs::metadata(path).map_err(io)?.len();
    if bytes > KEY_BYTES_MAX {
        return Err(malformed(format!(
            "{bytes} bytes, a key has at most {KEY_BYTES_MAX}"
        )));
    }
    let text = fs::read_to_string(path).map_err(io)?;
    let key = text.trim();
    if key.is_empty() || !key.chars().all(|c| c.is_ascii_graphic()) {
        return Err(malformed("not one word of visible characters".to_owned()));
    }
    Ok(key.to_owned())
}

/// A JSON Web Token over the fixed payload (RFC 7519, HS256 of RFC 7518).
fn jwt(secret: &str) -> String {
    let signed = format!(
        "{}.{}",
        base64url(HEADER.as_bytes()),
        base64url(PAYLOAD.as_bytes())
    );
    let signature = hmac(secret.as_bytes(), signed.as_bytes());
    format!("{signed}.{}", base64url(&signature))
}

/// HMAC with SHA-256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("BUG: a key may have any length");
    mac.chain_update(message).finalize().into_bytes().into()
}

/// Base 64 for URLs, without padding (RFC 4648).
fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_their_rfcs() {
        // RFC 4231, cases 1, 2 and 6.
        let long = [0xaa; 131];
        let cases: [(&[u8], &[u8], &str); 3] = [
            (
                &[0x0b; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &long,
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, message, code) in cases {
            assert_eq!(hex::encode(hmac(key, message)), code);
        }
        // RFC 4648, section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
        ] {
            assert_eq!(base64url(bytes.as_bytes()), text);
        }
        assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn a_secret_signs_the_token_that_the_server_expects() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "test-secret-456\n").unwrap();
        let token = Source::JwtSecret(path.clone()).bearer().unwrap();
        // As PyJWT 2 writes it.
        assert_eq!(
            token,
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0ZWFtX2lkIjoidGVuc3RvcnJlbnQiLCJ0b2tlbl9pZCI6ImRlYnVnLXRlc3QifQ.LZeuFMVFzgxD91sDR79qlfDogPHUCG9lLopctYKYvnI"
        );
        assert_eq!(Source::Key(path).bearer().unwrap(), "test-secret-456");
    }

    #[test]
    fn what_is_no_key_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let told = |content: &str| {
            fs::write(&path, content).unwrap();
            Source::Key(path.clone()).bearer()
        };
        let longest = "k".repeat(KEY_BYTES_MAX as usize);
        assert_eq!(told(&longest).unwrap(), longest);
        for wrong in [
            "",
            "\n",
            "two words",
            "schl\u{fc}ssel",
            &format!("{longest}k"),
        ] {
            let error = told(wrong).unwrap_err().to_string();
            assert!(error.contains("put the key into it"), "{error}");
        }
        let none = Source::Key(dir.path().join("none")).bearer().unwrap_err();
        assert!(matches!(none, KeyError::Io { .. }), "{none}");
    }
}
