//! The speaker: tells the network where service addresses live.
