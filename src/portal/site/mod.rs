//! The pages and what is behind them.
