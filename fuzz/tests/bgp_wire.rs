//! The corpus and past failures of the BGP codec targets, and some inputs nobody chose.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 4] = [
    ("bgp_stream", metallb_fuzz::bgp::stream),
    ("bgp_open", metallb_fuzz::bgp::open),
    ("bgp_update", metallb_fuzz::bgp::update),
    ("bgp_repack", metallb_fuzz::bgp::repack),
];

fn files(folder: &str, target: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(target);
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

// req: E4
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
    let mut state = 7_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below.max(1)
    };
    for (name, target) in TARGETS {
        let corpus = files("corpus", name);
        for _ in 0..ROUNDS {
            let mut input: Vec<u8> = corpus.get(random(corpus.len())).unwrap().clone();
            for _ in 0..random(8) {
                let at = random(input.len());
                let octet = u8::try_from(random(256)).unwrap();
                match random(4) {
                    0 => input.insert(at, octet),
                    1 => drop(input.splice(at..(at + random(6)).min(input.len()), [])),
                    2 => {
                        let other = corpus.get(random(corpus.len())).unwrap();
                        input.extend(other.iter().skip(random(other.len())));
                    }
                    _ => input.iter_mut().skip(at).take(1).for_each(|old| *old = octet),
                }
            }
            target(&input);
        }
    }
}

const ROUNDS: usize = 3000;
