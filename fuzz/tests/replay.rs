//! The corpus and past failures of every fuzz target, and inputs made from them.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use metallb_fuzz::{announce, arp, bfd, bgp, core, membership, unnumbered};

type Target = fn(&[u8]);

/// Every target, and how many changed inputs it gets here; `cargo fuzz` does the long runs.
const TARGETS: [(&str, Target, usize); 19] = [
    ("announce_facts", announce::facts, 400),
    ("arp_frame", arp::frame, 3000),
    ("arp_ndp", arp::ndp, 3000),
    ("arp_responder", arp::responder, 3000),
    ("bfd_calls", bfd::calls, 400),
    ("bfd_packet", bfd::packet, 3000),
    ("bgp_addresses", bgp::addresses, 3000),
    ("bgp_open", bgp::open, 3000),
    ("bgp_repack", bgp::repack, 3000),
    ("bgp_stream", bgp::stream, 3000),
    ("bgp_update", bgp::update, 3000),
    ("core_address", core::address, 3000),
    ("core_assigner", core::assigner, 400),
    ("core_config", core::config, 400),
    ("membership_calls", membership::calls, 400),
    ("membership_datagram", membership::datagram, 3000),
    ("membership_metadata", membership::metadata, 3000),
    ("unnumbered_link", unnumbered::link, 400),
    ("unnumbered_message", unnumbered::message, 3000),
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
    for (name, target, _) in TARGETS {
        let corpus = files("corpus", name);
        assert!(!corpus.is_empty(), "{name} has no corpus");
        for input in corpus.into_iter().chain(files("regressions", name)) {
            target(&input);
        }
    }
}

/// Every target that `cargo fuzz` knows is replayed here.
#[test]
fn no_target_is_left_out() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let mut names: Vec<String> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, TARGETS.map(|(name, ..)| name));
}

/// Changes and joins corpus inputs with a generator that always gives the same.
#[test]
fn changed_corpus_inputs_hold() {
    let mut state = 7_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below.max(1)
    };
    for (name, target, rounds) in TARGETS {
        let corpus = files("corpus", name);
        for _ in 0..rounds {
            let mut input = corpus.get(random(corpus.len())).unwrap().clone();
            for _ in 0..random(16) {
                change(&mut input, &corpus, &mut random);
            }
            target(&input);
        }
    }
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut impl FnMut(usize) -> usize) {
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
