//! The method registry, auth, transports, static UI.
