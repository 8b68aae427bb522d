//! Everything under the lock.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use crate::admission::Addresses;
use crate::api::Limits;
use crate::auth::Auth;
use crate::kinds::Kinds;
use crate::store::Store;
use crate::webhook::Backends;

/// Kinds, objects and what is allocated to them.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) kinds: Kinds,
    pub(crate) store: Store,
    pub(crate) addresses: Addresses,
    pub(crate) names: Names,
    pub(crate) auth: Auth,
    pub(crate) backends: Backends,
}

/// Uids and generated names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    random: RandomState,
    count: u64,
}

impl State {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            kinds: Kinds::new(),
            store: Store::new(limits.history),
            addresses: Addresses::default(),
            names: Names::default(),
            auth: Auth::default(),
            backends: Backends::default(),
        }
    }
}

impl Names {
    /// A random UUID (version 4), unique in this server.
    pub(crate) fn uid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0x0fff,
            ((low >> 48) & 0x3fff) | 0x8000,
            low & 0xffff_ffff_ffff
        )
    }

    /// A name for `generateName`: the base, cut to leave room, and five characters.
    pub(crate) fn generate(&mut self, base: &str) -> String {
        let mut random = self.next();
        let base: String = base.chars().take(MAX_BASE).collect();
        let suffix = (0..SUFFIX).map(|_| {
            let at = usize::try_from(random % ALPHABET.len() as u64).unwrap_or(0);
            random /= ALPHABET.len() as u64;
            ALPHABET.get(at).copied().map_or('x', char::from)
        });
        base.chars().chain(suffix).collect()
    }

    /// A text that nobody guesses by accident.
    pub(crate) fn token(&mut self) -> String {
        format!("embedded-{:016x}{:016x}", self.next(), self.next())
    }

    fn next(&mut self) -> u64 {
        self.count = self.count.wrapping_add(1);
        self.random.hash_one(self.count)
    }
}

/// As the real server's: no vowels, nothing that looks alike.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX: usize = 5;
const MAX_BASE: usize = 63 - SUFFIX;
