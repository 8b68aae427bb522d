//! Fuzz targets over the public API of the libraries.
//!
//! A target is a property of any octets, a function here. `cargo fuzz run TARGET` looks for octets that break it; without
//! a fuzzer, `cargo run -p metallb-fuzz --bin TARGET -- FILE...` runs it on files, such as the one that broke it.
//!
//! `cargo fuzz` takes a nightly compiler, or `RUSTC_BOOTSTRAP=1` with a stable one, as `just fuzz` sets it.

pub mod announce;
pub mod arp;
pub mod bfd;
pub mod bgp;
pub mod core;
pub mod membership;
pub mod replay;
pub mod unnumbered;

#[cfg(fuzzing)]
#[doc(hidden)]
pub use libfuzzer_sys;

/// The `main` of a target: libFuzzer's under `cargo fuzz`, else one that replays files.
#[cfg(fuzzing)]
#[macro_export]
macro_rules! target {
    ($module:ident::$property:ident) => {
        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$module::$property(data));
    };
}

/// The `main` of a target: libFuzzer's under `cargo fuzz`, else one that replays files.
#[cfg(not(fuzzing))]
#[macro_export]
macro_rules! target {
    ($module:ident::$property:ident) => {
        fn main() -> std::process::ExitCode {
            $crate::replay::files(std::env::args_os().skip(1), $crate::$module::$property)
        }
    };
}
