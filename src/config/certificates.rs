//! The certificates below `listen`: whether they can be read, fit their keys, and are still good.

use std::time::{Duration, UNIX_EPOCH};

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError as Invalid, Error, RootCertStore};

use super::ListenConfig;
use super::check::Finding;
use super::problem::Problem;
use super::tls::{CertificateConfig, CertificateError, ClientCertificates, ListenTls};

/// Everything that is wrong with them at `now`.
pub(super) fn findings(listen: &ListenConfig, now: UnixTime) -> Vec<Finding> {
    let mut problems = Vec::new();
    for (index, listener) in listen.listeners().iter().enumerate() {
        let Some(tls) = &listener.tls else { continue };
        let key = format!("{}.tls", listen.key(index));
        if tls.certificates.is_empty() {
            let remedy = "write `- { certificate: PATH, key: ${file:PATH} }` below it, or take `tls` out";
            problems.push(Problem::error(
                format!("{key}.certificates"),
                "names no certificate",
                remedy,
            ));
        }
        for (index, certificate) in tls.certificates.iter().enumerate() {
            problems.extend(of_certificate(
                &format!("{key}.certificates[{index}]"),
                certificate,
                now,
            ));
        }
        problems.extend(of_clients(&key, tls));
    }
    problems.into_iter().map(Finding::from).collect()
}

fn of_certificate(key: &str, certificate: &CertificateConfig, now: UnixTime) -> Option<Problem> {
    match certificate.certified() {
        Err(CertificateError::Certificate(why)) => Some(Problem::error(
            format!("{key}.certificate"),
            why,
            "name a PEM file of the certificate and its chain that the gateway may read",
        )),
        Err(CertificateError::Key(why)) => Some(Problem::error(
            format!("{key}.key"),
            why,
            "refer to the file of this certificate's `PRIVATE KEY` block, without a passphrase",
        )),
        Ok(certified) => {
            let (message, remedy) = match validity(certified.cert.first()?, now)? {
                Invalid::ExpiredContext { not_after, .. } => (
                    format!("has expired on {}: clients refuse it", day(not_after)),
                    "renew it; the gateway takes the new file within seconds",
                ),
                Invalid::NotValidYetContext { not_before, .. } => (
                    format!("is good from {} on, and clients refuse it until then", day(not_before)),
                    "look at the clocks of this machine and of the authority",
                ),
                _ => return None,
            };
            Some(Problem::warning(format!("{key}.certificate"), message, remedy))
        }
    }
}

/// What the certificate's own dates say. webpki looks at them before it looks for an authority, and here there is none.
fn validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Option<Invalid> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    let judged = rustls::client::verify_server_cert_signed_by_trust_anchor(
        &parsed,
        &RootCertStore::empty(),
        &[],
        now,
        algorithms.all,
    );
    match judged {
        Err(Error::InvalidCertificate(invalid)) => Some(invalid),
        _ => None,
    }
}

fn day(time: UnixTime) -> String {
    let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(time.as_secs())).to_string();
    time.split('T').next().unwrap_or_default().to_owned()
}

fn of_clients(key: &str, tls: &ListenTls) -> Option<Problem> {
    let ca = format!("{key}.client_ca");
    match (tls.client_certificates, tls.authorities()) {
        (_, Err(why)) => Some(Problem::error(
            ca,
            why,
            "name a PEM file of certificates that the gateway may read",
        )),
        (ClientCertificates::Off, Ok(Some(_))) => Some(Problem::warning(
            ca,
            "has no effect, because `client_certificates` is `off`",
            "write `client_certificates: required` or `optional` beside it",
        )),
        (ClientCertificates::Optional | ClientCertificates::Required, Ok(None)) => Some(Problem::error(
            format!("{key}.client_certificates"),
            "asks clients for certificates, and `client_ca` does not say whose are good",
            "write `client_ca: PATH` beside it",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Listener;
    use crate::config::tls::PemFile;
    use crate::config::types::Secret;

    #[test]
    fn a_certificate_that_is_no_longer_or_not_yet_good_is_told() {
        let data = |name: &str| {
            std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/data/tls")
                .join(name)
        };
        let tls = ListenTls {
            certificates: vec![CertificateConfig {
                certificate: PemFile::read(&data("server.pem")),
                key: Secret::new(std::fs::read_to_string(data("server.key")).unwrap()),
            }],
            client_ca: None,
            client_certificates: ClientCertificates::Off,
        };
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 8443));
        let listen = ListenConfig::One(Listener {
            address,
            tls: Some(tls),
        });
        let at = |years: u64| {
            findings(
                &listen,
                UnixTime::since_unix_epoch(Duration::from_secs(years * 31_557_600)),
            )
        };
        let said = |years| {
            let [finding] = &at(years)[..] else { panic!() };
            (finding.problem.key.clone(), finding.problem.message.clone())
        };
        let key = "listen.tls.certificates[0].certificate";
        let (old, new) = (said(1000), said(1));
        assert_eq!((old.0.as_str(), new.0.as_str()), (key, key));
        assert!(old.1.starts_with("has expired on 2"), "{}", old.1);
        assert!(new.1.starts_with("is good from 20"), "{}", new.1);
        let now = findings(&listen, UnixTime::now());
        assert!(now.is_empty(), "{now:?}");
    }
}
