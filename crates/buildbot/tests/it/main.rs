//! The codecs against recorded traffic and against damage, the two ends of each protocol against each other.

mod captures;
mod codecs;
mod pair;
mod replay;
mod stock;
