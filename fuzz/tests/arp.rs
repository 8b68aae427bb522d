//! The corpus and past failures of the ARP and NDP targets, and some inputs nobody chose.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 3] = [
    ("arp_frame", metallb_fuzz::arp::frame),
    ("arp_ndp", metallb_fuzz::arp::ndp),
    ("arp_responder", metallb_fuzz::arp::responder),
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

/// Changes and joins corpus inputs with a generator that always gives the same.
#[test]
fn changed_corpus_inputs_hold() {
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below.max(1)
    };
    for (name, target) in TARGETS {
        let corpus = files("corpus", name);
        for _ in 0..ROUNDS {
            let mut input: Vec<u8> = Vec::new();
            for _ in 0..=random(4) {
                input.extend(corpus.get(random(corpus.len())).unwrap());
            }
            for _ in 0..random(12) {
                let at = random(input.len());
                let octet = u8::try_from(random(256)).unwrap();
                match random(3) {
                    0 => input.insert(at, octet),
                    1 => drop(input.remove(at)),
                    _ => *input.get_mut(at).unwrap() = octet,
                }
            }
            target(&input);
        }
    }
}

const ROUNDS: usize = 3000;
