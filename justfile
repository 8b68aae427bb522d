# The same recipes that CI calls; `just check` before every push.

default: check

check: fmt clippy doc test deny

fmt:
    cargo fmt --all --check

clippy:
    cargo clippy --workspace --all-targets --all-features --exclude metallb-fuzz -- -D warnings
    cargo clippy -p metallb-fuzz --all-targets -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

test:
    cargo test --workspace

deny:
    cargo deny check licenses bans sources

crds: && manifests
    cargo run -p metallb-k8s --example crdgen

# Writes deploy/manifests/metallb-*.yaml from their sources (needs kubectl).
manifests:
    for variant in native native-prometheus; do kubectl kustomize deploy/manifests/$variant > deploy/manifests/metallb-$variant.yaml; done

# Packs the Helm chart into DIRECTORY, with an index.yaml for a repository that is served at URL (needs helm).
chart URL="" DIRECTORY="target/chart":
    .ci/chart {{DIRECTORY}} {{URL}}

# Makes what is made from other files of the chart: its definitions, lists and tables.
chart-files:
    UPDATE_GOLDEN=1 cargo test -p metallb --test chart made::

lab *ARGS:
    cargo run --release -- lab up {{ARGS}}

# The program as it is shipped: static, without the lab.
dist:
    deploy/docker/build

# The container images in target/metallb-images.tar, without a container daemon. `just image --help` has more.
image *ARGS:
    deploy/docker/about target/about
    deploy/docker/image "$(deploy/docker/build)" --about target/about {{ARGS}}

bench:
    cargo bench -p metallb-benches

ci:
    bash .ci/run

# 60 s of every fuzz target (needs `cargo install cargo-fuzz`; the variable lets a stable compiler use sanitizers).
fuzz SECONDS="60":
    #!/usr/bin/env bash
    set -euo pipefail
    export RUSTC_BOOTSTRAP=1
    for target in $(cargo fuzz list); do
        cargo fuzz run "$target" -- -max_total_time={{SECONDS}} -timeout=10
    done
