//! Reading, written once for both databases: their SQL differs in a few words, which [`Dialect`] knows, and in how a
//! statement is run, which is a [`Session`].

mod attach;
pub(crate) mod check;
mod condition;
mod counts;
#[cfg(test)]
pub(crate) mod hot;
pub(crate) mod load;
pub(crate) mod read;
pub(crate) mod rows;
pub(crate) mod select;
mod session;

pub(crate) use self::{
    counts::Counts,
    session::{Cell, Dialect, Param, Row, Session, Text, one},
};
