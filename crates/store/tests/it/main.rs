//! Tests of the store against its reference: histories from seeds, folded in the obvious way.

mod captures;
mod conformance;
mod fsck;
mod history;
mod load;
mod reference;
mod rest;
mod world;
