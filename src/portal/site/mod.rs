//! The pages and what is behind them.

pub mod forms;
pub mod operator;
pub mod pages;
pub mod qr;
pub mod say;
pub mod shell;
pub mod text;

#[cfg(test)]
mod samples;
