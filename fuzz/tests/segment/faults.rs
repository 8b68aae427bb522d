//! Faults that were mended, to be put back: each has to be found.

/// What a speaker does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It claims what it would own before it has heard the others.
    ClaimAtOnce,
    /// Speakers are machines like any other.
    ForgetPartners,
    /// It defends without asking the election.
    DefendAtOnce,
    /// It stops answering when it is told to leave.
    LeaveAtOnce,
    /// It announces nothing again when speakers meet that lived apart.
    KeepQuietAfterReunion,
}
