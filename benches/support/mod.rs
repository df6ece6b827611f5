//! What the benchmarks share: a fast TLS sink, a load generator, process figures.

pub mod load;
pub mod process;
pub mod sink;
