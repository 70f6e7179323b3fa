//! How much a peer may make this side keep.

/// Limits of one connection. Whoever exceeds one loses the connection, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one string.
    pub string: usize,
    /// Elements of one list.
    pub list: usize,
    /// Lists within lists.
    pub depth: usize,
    /// Elements of one message, all its lists together.
    pub elements: usize,
    /// Bytes of one message.
    pub bytes: usize,
    /// Calls of the peer that have not been answered yet.
    pub open_calls: usize,
    /// Objects of the peer that this side has heard of.
    pub objects: usize,
}

impl Limits {
    /// What Perspective Broker allows a string and a list to have. Stock programs send no more and take no more.
    pub const PB_SIZE: usize = 640 * 1024;

    /// For somebody who has not logged in.
    pub const STRANGER: Self = Self {
        string: 4096,
        list: 64,
        depth: 8,
        elements: 256,
        bytes: 16 * 1024,
        open_calls: 4,
        objects: 4,
    };

    /// For a worker, a master or a client that has logged in over Perspective Broker.
    pub const PEER: Self = Self {
        string: Self::PB_SIZE,
        list: Self::PB_SIZE,
        depth: 64,
        elements: 1_000_000,
        bytes: 16 * 1024 * 1024,
        open_calls: 4096,
        objects: 65_536,
    };

    /// For a worker or a master over msgpack, where one line of output may be one string.
    pub const MSGPACK: Self = Self {
        string: 16 * 1024 * 1024,
        list: 1_000_000,
        ..Self::PEER
    };
}
