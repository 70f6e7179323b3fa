//! Log segments: blocks, line index, tail, range reads.
