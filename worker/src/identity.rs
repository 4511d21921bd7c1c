//! The daemon's key: one PEM file that only its owner may read.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use candid::Principal;
use ic_agent::{
    Identity,
    identity::{BasicIdentity, Secp256k1Identity},
};
use ic_ed25519::{PrivateKey, PrivateKeyFormat};

/// Why a key could not be loaded or made.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No such file.
    #[error("{path}: no such key file; make one with: assay-worker identity new --out {path}")]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Others may read it.
    #[error(
        "{path}: others on this machine may read this key (mode {mode:o}); run: chmod 600 {path}"
    )]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key is encrypted.
    #[error(
        "{path}: the key is encrypted, and a daemon has nobody to ask for the passphrase; export it without one"
    )]
    Encrypted {
        /// Which file.
        path: PathBuf,
    },
    /// Not a key of a known kind.
    #[error("{path}: holds no Ed25519 or secp256k1 private key in PEM")]
    NotAKey {
        /// Which file.
        path: PathBuf,
    },
    /// The file exists already.
    #[error("{path}: exists already and was left as it is; name another file")]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes")]
    NoRandomness,
}

/// A key that signs calls.
#[derive(Clone)]
pub struct Key {
    /// What signs.
    pub identity: Arc<dyn Identity>,
    /// Who the canisters see.
    pub principal: Principal,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("principal", &self.principal.to_text())
            .finish_non_exhaustive()
    }
}

/// Loads a key, and refuses one that others may read.
pub fn load(path: &Path) -> Result<Key, IdentityError> {
    let io = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => IdentityError::Missing {
            path: path.to_owned(),
        },
        _ => IdentityError::Io {
            path: path.to_owned(),
            error,
        },
    };
    let metadata = fs::metadata(path).map_err(io)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(IdentityError::Exposed {
                path: path.to_owned(),
                mode,
            });
        }
    }
    if !metadata.is_file() {
        return Err(IdentityError::NotAKey {
            path: path.to_owned(),
        });
    }
    let pem = fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => IdentityError::NotAKey {
            path: path.to_owned(),
        },
        _ => IdentityError::Io {
            path: path.to_owned(),
            error,
        },
    })?;
    parse(&pem, path)
}

fn parse(pem: &str, path: &Path) -> Result<Key, IdentityError> {
    if pem.contains("ENCRYPTED") {
        return Err(IdentityError::Encrypted {
            path: path.to_owned(),
        });
    }
    let identity: Arc<dyn Identity> = if let Ok(key) = PrivateKey::deserialize_pkcs8_pem(pem) {
        Arc::new(BasicIdentity::from_raw_key(&key.serialize_raw()))
    } else if let Ok(key) = Secp256k1Identity::from_pem(pem) {
        Arc::new(key)
    } else if let Ok(key) = BasicIdentity::from_pem(pem) {
        Arc::new(key)
    } else {
        return Err(IdentityError::NotAKey {
            path: path.to_owned(),
        });
    };
    let principal = identity.sender().map_err(|_| IdentityError::NotAKey {
        path: path.to_owned(),
    })?;
    Ok(Key {
        identity,
        principal,
    })
}

/// Makes an Ed25519 key in a new file that only its owner may read.
pub fn create(path: &Path) -> Result<Key, IdentityError> {
    use std::io::Write as _;

    let io = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => IdentityError::Exists {
            path: path.to_owned(),
        },
        _ => IdentityError::Io {
            path: path.to_owned(),
            error,
        },
    };
    let pem = PrivateKey::deserialize_raw_32(&random_bytes()?)
        .serialize_pkcs8_pem(PrivateKeyFormat::Pkcs8v1);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path).map_err(io)?;
    file.write_all(pem.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(io)?;
    parse(&pem, path)
}

/// 32 bytes from the operating system.
pub fn random_bytes() -> Result<[u8; 32], IdentityError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| IdentityError::NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_loads_again_as_the_same_principal_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("worker.pem");
        let made = create(&path).unwrap();
        assert_eq!(load(&path).unwrap().principal, made.principal);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
        assert!(
            matches!(create(&path), Err(IdentityError::Exists { .. })),
            "an existing key is never overwritten"
        );
    }

    #[cfg(unix)]
    #[test]
    fn keys_that_others_may_read_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("worker.pem");
        create(&path).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(
                matches!(load(&path), Err(IdentityError::Exposed { .. })),
                "mode {mode:o}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn missing_empty_foreign_and_encrypted_files_each_say_what_they_are() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("worker.pem");
        assert!(matches!(load(&path), Err(IdentityError::Missing { .. })));
        let check = |content: &[u8]| {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            load(&path).unwrap_err()
        };
        assert!(matches!(check(b""), IdentityError::NotAKey { .. }));
        assert!(matches!(
            check(&[0xff, 0xfe, 0]),
            IdentityError::NotAKey { .. }
        ));
        assert!(matches!(
            check(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            IdentityError::NotAKey { .. }
        ));
        assert!(matches!(
            check(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"),
            IdentityError::Encrypted { .. }
        ));
    }

    #[cfg(unix)]
    #[test]
    fn secp256k1_keys_load_too() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("worker.pem");
        // Made for this test, and used for nothing else.
        let pem = "-----BEGIN EC PRIVATE KEY-----\n\
            MHQCAQEEIPL22QLBkbcHfHyD7KL1bbUi8fQw02AD9JgTA2YnQmc4oAcGBSuBBAAK\n\
            oUQDQgAE3CeHeIbTIVhMG/QiSW9Qd3bD8dvwhbwxE258D0NhpbkqCGmHdc+b9Nxo\n\
            EYIulxRxzWWVTpr3lg7VinRt5y9I0g==\n\
            -----END EC PRIVATE KEY-----\n";
        fs::write(&path, pem).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_ne!(load(&path).unwrap().principal, Principal::anonymous());
    }
}
