//! Events for clients: `/ws` and `/sse` (sections 9 to 11 of `docs/reference/rest-api-v2.md`).
//!
//! One [task](follow) follows the master's feed for everybody. It maps each committed event to topics, reads the items that
//! somebody wants to hear of (once, in batches), and the [`Hub`] hands the finished messages to the subscribers. A
//! subscriber that takes them too slowly is disconnected and says so: it connects again and reads anew. Nothing is
//! queued without bound.

mod commands;
mod hub;
mod map;
mod pattern;
mod relay;
mod socket;
mod sse;

pub use hub::{Ended, Hub, Subscriber, Told};
pub use pattern::TopicPattern;
pub use relay::follow;
pub use socket::upgrade;
pub(crate) use socket::{goodbye, upgrade_required};
pub use sse::Streams;
pub use sse::{add as sse_add, listen as sse_listen, listen_to as sse_listen_to, remove as sse_remove};
