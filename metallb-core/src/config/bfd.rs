//! BFD profiles.

use std::time::Duration;

use super::check::{Check, Limits};
use super::input::BfdProfileInput;
use super::model::BfdProfile;

/// The profile; the check says whether it is valid.
pub(super) fn read(input: &BfdProfileInput, check: &mut Check) -> BfdProfile {
    let mut interval = |field, value, default| {
        let millis: u32 = check.number(field, value, Limits { min: 10, max: 60_000, default });
        Duration::from_millis(u64::from(millis))
    };
    BfdProfile {
        name: input.meta.name.as_str().into(),
        created: input.meta.created,
        receive_interval: interval("spec.receiveInterval", input.receive_interval, 300),
        transmit_interval: interval("spec.transmitInterval", input.transmit_interval, 300),
        echo_interval: interval("spec.echoInterval", input.echo_interval, 50),
        detect_multiplier: check.number(
            "spec.detectMultiplier",
            input.detect_multiplier,
            Limits { min: 2_u8, max: 255, default: 3 },
        ),
        echo_mode: input.echo_mode,
        passive_mode: input.passive_mode,
        minimum_ttl: check.number(
            "spec.minimumTtl",
            input.minimum_ttl,
            Limits { min: 1_u8, max: 254, default: 254 },
        ),
    }
}
