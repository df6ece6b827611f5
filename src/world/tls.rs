//! The one TLS crypto provider, for every connection in and out.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// *ring*, with the post-quantum hybrid X25519MLKEM768 put in front of its key exchange groups:
/// for what we serve. (Outgoing connections get the hybrid together with the retry without it
/// that some middleboxes need.)
pub fn server_provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider
        .kx_groups
        .insert(0, rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768);
    Arc::new(provider)
}

/// *ring*: for what we connect to.
pub fn client_provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
