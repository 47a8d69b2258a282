//! TLS below `listen`: the certificates that clients see, and whose certificates clients may show.
//!
//! Certificates are held as they were read with the rest of the configuration, so that a renewed file is a changed configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::types::Secret;

/// TLS on one address.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenTls {
    /// Certificates with their keys. A client gets the first whose names (subjectAltName) hold the name it asks for, or else the first.
    pub certificates: Vec<CertificateConfig>,
    /// A PEM file of the authorities whose client certificates are taken.
    #[serde(default)]
    pub client_ca: Option<PemFile>,
    /// Whether clients show a certificate.
    #[serde(default)]
    pub client_certificates: ClientCertificates,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateConfig {
    /// A PEM file with the certificate and its chain, its own first.
    pub certificate: PemFile,
    /// Its key, as PEM, by reference: `${file:/etc/lakegate/tls.key}`.
    pub key: Secret,
}

/// Whether clients show a certificate. One that no authority of `client_ca` has signed never passes, nor does an expired one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificates {
    /// Nobody is asked for one.
    #[default]
    Off,
    /// Clients are asked, and may have none.
    Optional,
    /// Clients without one are turned away.
    Required,
}

/// A PEM file, with what it held when the configuration was read.
#[derive(Clone, PartialEq, Eq)]
pub struct PemFile {
    path: PathBuf,
    text: Result<Arc<str>, String>,
}

/// Why a certificate cannot be used, as half a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Its file holds none that can be.
    #[error("the certificate {0}")]
    Certificate(String),
    /// The key cannot be read, or belongs to another.
    #[error("the key {0}")]
    Key(String),
}

impl PemFile {
    /// Reads a file; that it cannot be read is told by [`PemFile::certificates`].
    pub fn read(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            text: super::load::read(path).map(Arc::from),
        }
    }

    /// What it held; nothing if it could not be read.
    pub fn pem(&self) -> Option<&str> {
        self.text.as_deref().ok()
    }

    /// The certificates in it.
    ///
    /// # Errors
    /// Half a sentence on why there are none.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let name = self.path.display();
        let text = self
            .text
            .as_ref()
            .map_err(|why| format!("names `{name}`, which {why}"))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        match certificates {
            Ok(certificates) if certificates.is_empty() => Err(format!("names `{name}`, which holds no certificate")),
            Ok(certificates) => Ok(certificates),
            Err(_) => Err(format!(
                "names `{name}`, which holds a block that is broken or cut short"
            )),
        }
    }
}

impl CertificateConfig {
    /// The certificate with its key, ready for handshakes.
    ///
    /// # Errors
    /// Which of the two cannot be used, and why.
    pub fn certified(&self) -> Result<CertifiedKey, CertificateError> {
        let chain = self.certificate.certificates().map_err(CertificateError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(self.key.expose().as_bytes())
            .map_err(|_| CertificateError::Key("is no private key in PEM form".to_owned()))?;
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                CertificateError::Key("belongs to another certificate than the one beside it".to_owned())
            }
            rustls::Error::InvalidCertificate(error) => {
                CertificateError::Certificate(format!("holds a certificate that cannot be read ({error})"))
            }
            error => CertificateError::Key(format!("cannot be used ({error})")),
        })
    }
}

impl ListenTls {
    /// The authorities of `client_ca`, if it names any.
    ///
    /// # Errors
    /// Half a sentence on why they cannot be used.
    pub fn authorities(&self) -> Result<Option<RootCertStore>, String> {
        let Some(file) = &self.client_ca else {
            return Ok(None);
        };
        let mut roots = RootCertStore::empty();
        for certificate in file.certificates()? {
            roots
                .add(certificate)
                .map_err(|error| format!("holds an authority that cannot be used ({error})"))?;
        }
        Ok(Some(roots))
    }
}

impl std::fmt::Debug for PemFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.path.fmt(f)
    }
}

impl<'de> Deserialize<'de> for PemFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PathBuf::deserialize(deserializer).map(|path| Self::read(&path))
    }
}

impl JsonSchema for PemFile {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PemFile".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "The path of a PEM file", "examples": ["/etc/lakegate/tls.pem"] })
    }
}
