//! The one choice of cryptography for TLS.

/// Makes AWS-LC the provider of rustls for the whole process. Call it before a client is made; again changes nothing.
pub fn install_provider() {
    // It fails only where one is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
