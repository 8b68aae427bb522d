//! What controller and speaker share: arguments, logs, metrics, probes, shutdown.
