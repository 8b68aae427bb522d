//! Where all seeds come from.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// A number by chance, from the operating system's source of randomness: no two calls, processes or machines have the
/// same to be expected. For spreading timers, not for secrets.
#[must_use]
pub fn seed() -> u64 {
    // The keys of a new state are chosen by the operating system; hashing nothing with them is as good as the keys.
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_seeds_are_equal() {
        let seeds: std::collections::BTreeSet<u64> = (0..1000).map(|_| seed()).collect();
        assert_eq!(seeds.len(), 1000);
    }

    #[test]
    fn two_processes_have_different_seeds() {
        if std::env::var_os("METALLB_TEST_SEED").is_some() {
            println!("seed={}", seed());
            return;
        }
        let printed = || {
            let output = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "seed::tests::two_processes_have_different_seeds", "--nocapture"])
                .env("METALLB_TEST_SEED", "1")
                .output()
                .unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let seed = text.split("seed=").nth(1).and_then(|rest| rest.split_whitespace().next());
            seed.expect("the child prints its seed").to_owned()
        };
        assert_ne!(printed(), printed());
    }
}
