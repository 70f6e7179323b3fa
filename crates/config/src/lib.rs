//! TOML in, definitions out, with diagnostics.
