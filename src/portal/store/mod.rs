//! Deposits at rest: keys in fixed slots, sealed content, tables.
