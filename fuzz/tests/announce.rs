//! The corpus and past failures of the targets of announcements and membership, and inputs made from them.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 4] = [
    ("announce_facts", metallb_fuzz::announce::facts),
    ("membership_calls", metallb_fuzz::membership::calls),
    ("membership_datagram", metallb_fuzz::membership::datagram),
    ("membership_metadata", metallb_fuzz::membership::metadata),
];

fn files(folder: &str, target: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(target);
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect()
}

#[test]
fn the_corpus_and_past_failures_hold() {
    for (name, target) in TARGETS {
        let corpus = files("corpus", name);
        assert!(!corpus.is_empty(), "{name} has no corpus");
        for input in corpus.into_iter().chain(files("regressions", name)) {
            target(&input);
        }
    }
}

/// Changes corpus inputs with a generator that always gives the same.
/// `cargo fuzz` does the long runs.
#[test]
fn changed_corpus_inputs_hold() {
    let mut state = 7_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below.max(1)
    };
    for (name, target) in TARGETS {
        let corpus = files("corpus", name);
        for round in 0..200 {
            let mut input = corpus.get(round % corpus.len()).unwrap().clone();
            for _ in 0..=random(24) {
                let at = random(input.len());
                match random(3) {
                    0 if !input.is_empty() => drop(input.remove(at)),
                    1 => input.insert(at, u8::try_from(random(256)).unwrap()),
                    _ => input
                        .iter_mut()
                        .skip(at)
                        .take(1)
                        .for_each(|byte| *byte = u8::try_from(random(256)).unwrap()),
                }
            }
            target(&input);
        }
    }
}
