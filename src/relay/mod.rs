//! To the next hop: who it is, what its connection is worth, and the transaction.
