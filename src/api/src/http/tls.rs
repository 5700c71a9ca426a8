//! How is a TLS connection accepted? With a certificate that can be changed while the server runs: connections that are open go on
//! with the old one, new ones get the new one.

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use tokio_rustls::TlsAcceptor;

/// What ALPN calls HTTP/1.1.
const HTTP1: &[u8] = b"http/1.1";

/// The contents of the files, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// `tls.cert_file`: the server's certificate, and those between it and the root.
    pub certificates: Vec<u8>,
    /// `tls.key_file`: its private key.
    pub key: Vec<u8>,
    /// `tls.client_ca_file`: whoever connects must have a certificate of one of these.
    pub client_ca: Option<Vec<u8>>,
}

/// The key is nobody's to see.
impl fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsFiles").finish_non_exhaustive()
    }
}

/// Why files are of no use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not PEM of the right kind.
    #[error("{setting}: {why}")]
    Pem {
        /// The setting that names the file.
        setting: &'static str,
        /// What is wrong with its contents.
        why: pem::Error,
    },
    /// A file has no certificate.
    #[error("{0}: there is no certificate in it")]
    Empty(&'static str),
    /// The certificates of clients cannot be checked with these.
    #[error("tls.client_ca_file: {0}")]
    ClientCa(String),
    /// Certificate and key do not go together, or are of a kind that is not spoken.
    #[error("tls.cert_file and tls.key_file: {0}")]
    Pair(rustls::Error),
}

/// Makes TLS acceptors, with the certificate and key that hold at the moment.
#[derive(Debug)]
pub struct Tls {
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Acceptors with what these files hold.
    pub fn new(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self { current: RwLock::new(server_config(files)?) })
    }

    /// Changes the acceptor of connections to come; on an error it stays as it is.
    pub fn replace(&self, files: &TlsFiles) -> Result<(), TlsError> {
        let config = server_config(files)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// The acceptor of the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.now().into()
    }

    /// The same for a connection that does not offer HTTP/2.
    pub(crate) fn http1_acceptor(&self) -> TlsAcceptor {
        let mut config = ServerConfig::clone(&self.now());
        config.alpn_protocols = vec![HTTP1.to_vec()];
        Arc::new(config).into()
    }

    fn now(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn server_config(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(TlsError::Pair)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("tls.client_ca_file", pem)? {
                roots.add(certificate).map_err(|e| TlsError::ClientCa(e.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder
                .with_client_cert_verifier(verifier.build().map_err(|e| TlsError::ClientCa(e.to_string()))?)
        }
    };
    let key = PrivateKeyDer::from_pem_slice(&files.key)
        .map_err(|why| TlsError::Pem { setting: "tls.key_file", why })?;
    let chain = certificates("tls.cert_file", &files.certificates)?;
    let mut config = builder.with_single_cert(chain, key).map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), HTTP1.to_vec()];
    Ok(Arc::new(config))
}

fn certificates(setting: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|why| TlsError::Pem { setting, why })?;
    if all.is_empty() { Err(TlsError::Empty(setting)) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> TlsFiles {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (certificates, key) =
            (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes());
        TlsFiles { certificates, key, client_ca: None }
    }

    #[test]
    fn files_that_do_not_go_together_change_nothing() {
        let (good, other) = (pair(), pair());
        let tls = Tls::new(&good).unwrap();
        let before = Arc::clone(&tls.current.read().unwrap());
        let bad = [
            TlsFiles { key: other.key.clone(), ..good.clone() },
            TlsFiles { key: b"not a key".to_vec(), ..good.clone() },
            TlsFiles { certificates: Vec::new(), ..good.clone() },
            TlsFiles { certificates: good.key.clone(), ..good.clone() },
            TlsFiles { client_ca: Some(b"nobody".to_vec()), ..good.clone() },
        ];
        for files in &bad {
            let error = tls.replace(files).unwrap_err().to_string();
            assert!(error.starts_with("tls."), "{error}");
            assert!(Arc::ptr_eq(&before, &tls.current.read().unwrap()));
        }
        tls.replace(&other).unwrap();
        assert!(!Arc::ptr_eq(&before, &tls.current.read().unwrap()));
        assert!(!format!("{good:?}").contains("BEGIN"));
    }
}
