//! Sealing of what speakers tell each other: AES-256-GCM under a key derived from the shared secret.

use std::path::Path;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

/// Separates this use of the secret from any other.
const CONTEXT: &[u8] = b"metallb speaker membership, AES-256-GCM, version 1";

/// How datagrams are protected.
pub(crate) enum Seal {
    /// Not at all: no secret was configured.
    Plain,
    /// With a key that all speakers of the cluster share.
    Sealed(Box<Sealed>),
}

/// A key and the source of nonces.
pub(crate) struct Sealed {
    key: LessSafeKey,
    random: SystemRandom,
}

/// A secret that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    /// The file cannot be read.
    #[error("cannot read the membership secret {path:?} (--ml-secret-key-path)")]
    Unreadable {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds nothing.
    #[error("the membership secret {path:?} is empty (--ml-secret-key-path); put random bytes into it")]
    Empty {
        /// The file.
        path: std::path::PathBuf,
    },
    /// The key or the system's randomness was refused.
    #[error("the cryptographic library refused {0}")]
    Refused(&'static str),
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            Self::Sealed(_) => "Sealed",
        })
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealed")
    }
}

impl Seal {
    /// The seal for the secret in `path`; without a path, plain.
    ///
    /// # Errors
    /// When a path is given but its file is unreadable or empty.
    pub(crate) fn from_file(path: Option<&Path>) -> Result<Self, SealError> {
        let Some(path) = path else { return Ok(Self::Plain) };
        let secret =
            std::fs::read(path).map_err(|source| SealError::Unreadable { path: path.to_owned(), source })?;
        if secret.trim_ascii().is_empty() {
            return Err(SealError::Empty { path: path.to_owned() });
        }
        Self::from_secret(&secret)
    }

    /// The seal for a secret of any length.
    ///
    /// # Errors
    /// [`SealError::Refused`] if the library does not accept the derived key.
    pub(crate) fn from_secret(secret: &[u8]) -> Result<Self, SealError> {
        let derived = Sha256::new().chain_update(CONTEXT).chain_update(secret).finalize();
        let key = UnboundKey::new(&AES_256_GCM, &derived).map_err(|_| SealError::Refused("the key"))?;
        Ok(Self::Sealed(Box::new(Sealed { key: LessSafeKey::new(key), random: SystemRandom::new() })))
    }

    /// Seals `datagram` in place: nonce, ciphertext, tag.
    ///
    /// # Errors
    /// [`SealError::Refused`] when the system has no randomness.
    pub(crate) fn seal(&self, datagram: &mut Vec<u8>) -> Result<(), SealError> {
        let Self::Sealed(sealed) = self else { return Ok(()) };
        let mut nonce = [0; NONCE_LEN];
        sealed.random.fill(&mut nonce).map_err(|_| SealError::Refused("randomness"))?;
        sealed
            .key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), datagram)
            .map_err(|_| SealError::Refused("the datagram"))?;
        datagram.splice(0..0, nonce);
        Ok(())
    }

    /// The plain content of a datagram, or `None` if it was not sealed with our key.
    pub(crate) fn open<'a>(&self, datagram: &'a mut [u8]) -> Option<&'a [u8]> {
        let Self::Sealed(sealed) = self else { return Some(datagram) };
        let (nonce, sealed_part) = datagram.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        sealed.key.open_in_place(nonce, Aad::empty(), sealed_part).ok().map(|plain| &*plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_can_be_opened_with_the_same_secret_only() {
        let ours = Seal::from_secret(b"secret").unwrap();
        let mut datagram = b"heartbeat".to_vec();
        ours.seal(&mut datagram).unwrap();
        assert!(!datagram.windows(9).any(|window| window == b"heartbeat"));
        assert_eq!(ours.open(&mut datagram.clone()), Some(&b"heartbeat"[..]));
        assert_eq!(Seal::from_secret(b"other").unwrap().open(&mut datagram), None);
    }

    #[test]
    fn every_flipped_octet_is_refused() {
        let seal = Seal::from_secret(b"secret").unwrap();
        let mut datagram = b"x".to_vec();
        seal.seal(&mut datagram).unwrap();
        for index in 0..datagram.len() {
            let mut forged = datagram.clone();
            forged[index] ^= 1;
            assert_eq!(seal.open(&mut forged), None, "octet {index}");
        }
        assert_eq!(seal.open(&mut [1, 2, 3]), None);
    }

    #[test]
    fn an_unreadable_or_empty_secret_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secretkey");
        assert!(Seal::from_file(Some(&path)).unwrap_err().to_string().contains("secretkey"));
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(Seal::from_file(Some(&path)), Err(SealError::Empty { .. })));
        assert!(matches!(Seal::from_file(None), Ok(Seal::Plain)));
    }
}
