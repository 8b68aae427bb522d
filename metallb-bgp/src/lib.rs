//! A sans-IO BGP speaker: codecs, finite state machine, advertisement table, optional tokio driver.
