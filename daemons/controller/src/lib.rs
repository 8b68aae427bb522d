//! The controller: gives services their addresses.
