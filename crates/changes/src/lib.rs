//! Change sources: pollers and hook parsers.
