//! Tests of the store against its reference: histories from seeds, folded in the obvious way.

mod backend;
mod captures;
mod concurrent;
mod conformance;
mod cut;
mod effect;
mod faults;
mod fsck;
mod full_disk;
mod history;
mod kill;
mod load;
mod migrations;
mod reference;
mod rest;
mod world;
