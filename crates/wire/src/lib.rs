//! The native worker protocol: messages, framing, resume; sans-I/O.
