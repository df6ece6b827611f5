//! The administrative socket.
