//! What no single key can tell: sections that do not fit together, values that are legal and make no sense, files that are not there.
//!
//! The patterns and parsers of single values are not judged here, unless only another crate can read them; `certificates` judges `listen`'s, `rules` `guard`'s.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, UnixTime};

use super::problem::Problem;
use super::tls::PemFile;
use super::types::{HttpUrl, Period, Secret};
use super::{Config, LakefsRules, Listener, OnAbandoned, StoreConfig, UpstreamIdentity, certificates, rules};

/// A problem and the other keys that make it one.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) problem: Problem,
    others: &'static [&'static str],
}

impl From<Problem> for Finding {
    fn from(problem: Problem) -> Self {
        Self { problem, others: &[] }
    }
}

impl Finding {
    /// All keys that were looked at.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.problem.key.as_str()).chain(self.others.iter().copied())
    }
}

/// Everything that is wrong across the sections of a configuration.
pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    findings.addresses(config);
    findings.identity(config);
    findings.tls(config);
    findings
        .0
        .extend(certificates::findings(&config.listen, UnixTime::now()));
    findings.domains(config);
    findings
        .0
        .extend(rules::findings(&config.guard).into_iter().map(Finding::from));
    findings.numbers(config);
    findings.periods(config);
    findings.uploads(config);
    findings.replicas(config);
    findings.record(config);
    findings.guard(config);
    findings.log(config);
    findings.0
}

struct Findings(Vec<Finding>);

impl Findings {
    fn error(&mut self, key: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) {
        self.among(&[], Problem::error(key, message, remedy));
    }

    fn warning(&mut self, key: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) {
        self.among(&[], Problem::warning(key, message, remedy));
    }

    fn among(&mut self, others: &'static [&'static str], problem: Problem) {
        self.0.push(Finding { problem, others });
    }

    fn addresses(&mut self, config: &Config) {
        let listen = config.listen.listeners();
        if listen.is_empty() {
            self.error(
                "listen",
                "names no address",
                "write `127.0.0.1:8080`, or take the key out",
            );
        }
        for (index, Listener { address, tls }) in listen.iter().enumerate() {
            let key = config.listen.key(index);
            if listen
                .iter()
                .take(index)
                .any(|earlier| collide(earlier.address, *address))
            {
                let message = format!("takes {address}, which another address of `listen` takes already");
                self.error(key.clone(), message, "name each address and port once");
            }
            if collide(config.admin.listen, *address) {
                let message = format!("takes {address}, which `admin.listen` takes too");
                let problem = Problem::error(key.clone(), message, "give the admin listener a port of its own");
                self.among(&["admin.listen"], problem);
            }
            if reaches(&config.upstream.url, *address) {
                let message = format!("is {}, the gateway's own address {address}", config.upstream.url);
                let problem = Problem::error(
                    "upstream.url",
                    message,
                    "name lakeFS's address, or listen on another port",
                );
                self.among(&["listen"], problem);
            }
            if tls.is_none() && !address.ip().is_loopback() && config.auth.upstream == UpstreamIdentity::Passthrough {
                let message = format!(
                    "opens {address} to the network without TLS, and clients send their lakeFS keys through it"
                );
                let remedy = "give it certificates (`tls` beside its `address`), or put a TLS terminator in front and listen on the loopback address";
                self.among(&["auth.upstream"], Problem::warning(key, message, remedy));
            }
        }
        if reaches(&config.upstream.url, config.admin.listen) {
            let message = format!("is {}, the gateway's own admin listener", config.upstream.url);
            let problem = Problem::error("upstream.url", message, "name lakeFS's address");
            self.among(&["admin.listen"], problem);
        }
        for (key, path) in [("admin.socket", &config.admin.socket)] {
            if path.as_os_str().is_empty() {
                self.error(key, "is empty", "name a file, or take the key out");
            }
        }
    }

    fn identity(&mut self, config: &Config) {
        let auth = &config.auth;
        if matches!(auth.upstream, UpstreamIdentity::Mint(_)) && auth.lakefs_secret.is_none() {
            let problem = Problem::error(
                "auth.upstream.mint",
                "makes tokens with lakeFS's secret, and `auth.lakefs_secret` is not given",
                "write `lakefs_secret: ${env:NAME}` below `auth`, with lakeFS's `auth.encrypt.secret_key`; or use `login`",
            );
            self.among(&["auth.lakefs_secret"], problem);
        }
        for (key, cookie) in [
            ("auth.oidc_cookie", &auth.oidc_cookie),
            ("auth.saml_cookie", &auth.saml_cookie),
        ] {
            if !cookie.required_claims.is_empty() && auth.lakefs_secret.is_none() {
                let message = "can be read only with lakeFS's secret, and `auth.lakefs_secret` is not given";
                let remedy = "write `lakefs_secret: ${env:NAME}` below `auth`, with lakeFS's `auth.encrypt.secret_key`";
                let problem = Problem::error(format!("{key}.required_claims"), message, remedy);
                self.among(&["auth.lakefs_secret"], problem);
            }
            if cookie.user_claim.is_empty() {
                self.error(
                    format!("{key}.user_claim"),
                    "is empty",
                    "name the claim that holds the user, or take the key out",
                );
            }
        }
        for (id, key) in &auth.s3_keys {
            if key.principal.is_empty() {
                let remedy = "name the key's owner, or take the key out";
                self.error(format!("auth.s3_keys.{id}.principal"), "is empty", remedy);
            }
            if key.secret_access_key.is_some() && auth.upstream == UpstreamIdentity::Passthrough {
                let problem = Problem::error(
                    format!("auth.s3_keys.{id}.secret_access_key"),
                    "makes it a key that lakeFS does not know, and the gateway has none of its own to sign with",
                    "name lakeFS's key pair in `auth.upstream.login`, or take the secret out",
                );
                self.among(&["auth.upstream"], problem);
            }
        }
        if auth.allow_setup {
            self.warning(
                "auth.allow_setup",
                "lets anybody who reaches the gateway set a fresh lakeFS up, and take its first key",
                "take it out once lakeFS is set up",
            );
        }
    }

    fn tls(&mut self, config: &Config) {
        let tls = &config.upstream.tls;
        match (&tls.certificate, &tls.key) {
            (Some(_), None) => self.among(
                &["upstream.tls.key"],
                Problem::error(
                    "upstream.tls.certificate",
                    "has no key beside it",
                    "write `key: ${file:PATH}` beside it",
                ),
            ),
            (None, Some(_)) => self.among(
                &["upstream.tls.certificate"],
                Problem::error(
                    "upstream.tls.key",
                    "has no certificate beside it",
                    "write `certificate: PATH` beside it",
                ),
            ),
            _ => {}
        }
        for (key, path) in [
            ("upstream.tls.ca", &tls.ca),
            ("upstream.tls.certificate", &tls.certificate),
        ] {
            if let Some(Err(why)) = path.as_deref().map(|path| PemFile::read(path).certificates()) {
                self.error(key, why, "name a PEM file of certificates that the gateway may read");
            }
        }
        let is_key = |key: &Secret| PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).is_ok();
        if tls.key.as_ref().is_some_and(|key| !is_key(key)) {
            let remedy = "refer to a file with a `PRIVATE KEY` block that has no passphrase";
            self.error("upstream.tls.key", "is no private key in PEM form", remedy);
        }
        if !config.upstream.url.secure && *tls != super::UpstreamTls::default() {
            let problem = Problem::warning(
                "upstream.tls",
                "has no effect, because `upstream.url` is plain http",
                "write `https://` there",
            );
            self.among(&["upstream.url"], problem);
        }
    }

    fn domains(&mut self, config: &Config) {
        for (index, domain) in config.upstream.s3_domains.iter().enumerate() {
            let key = format!("upstream.s3_domains[{index}]");
            if domain.is_empty() || domain.contains(['/', ':', '*', ' ']) {
                self.error(
                    key,
                    format!("is `{domain}`, which is no host name"),
                    "write the name alone, as lakeFS's `gateways.s3.domain_name`",
                );
            } else if let Some(url) = &config.public_url
                && (url.host.eq_ignore_ascii_case(domain) || below(&url.host, domain))
            {
                let message = format!(
                    "takes every request to {} for S3, and `public_url` says that browsers go there",
                    url.host
                );
                let problem = Problem::error(key, message, "give S3 clients a host name of their own");
                self.among(&["public_url"], problem);
            }
        }
    }

    fn numbers(&mut self, config: &Config) {
        let (limit, server) = (&config.limit, &config.server);
        let (least, most) = limit.upstream.in_flight.bounds();
        // The upper bounds are far above what a machine can hold, and below what semaphores and counters can.
        for (key, number, least, most) in [
            (
                "limit.principal.requests_per_second",
                limit.principal.requests_per_second as usize,
                1,
                1_000_000,
            ),
            ("limit.principal.burst", limit.principal.burst as usize, 1, 1_000_000),
            ("limit.principal.in_flight", limit.principal.in_flight, 1, 1_000_000),
            ("limit.upstream.in_flight", least, 1, most),
            ("limit.upstream.in_flight", most, least, 1_000_000),
            ("limit.upstream.streams", limit.upstream.streams, 1, 1_000_000),
            ("limit.max_waiting", limit.max_waiting, 0, 1_000_000),
            (
                "auth.failed_logins_per_minute",
                config.auth.failed_logins_per_minute as usize,
                1,
                1_000_000,
            ),
            ("uploads.max_records", config.uploads.max_records, 1, 100_000_000),
            ("audit.reads.per_hour", config.audit.reads.per_hour, 0, 1_000_000),
            (
                "audit.reads.max_records",
                config.audit.reads.max_records,
                1,
                100_000_000,
            ),
            ("record.undo.max_records", config.record.undo.max_records, 1, 1_000_000),
            (
                "record.approvals.max_pending",
                config.record.approvals.max_pending,
                10,
                10_000,
            ),
            (
                "upstream.max_idle_connections",
                config.upstream.max_idle_connections,
                0,
                100_000,
            ),
            ("upstream.max_headers", config.upstream.max_headers, 10, 10_000),
            ("server.threads", server.threads, 0, 1024),
            ("server.max_connections", server.max_connections, 1, 1_000_000),
            ("server.max_headers", server.max_headers, 10, 10_000),
        ] {
            if number < least {
                self.error(
                    key,
                    format!("is {number}, which is too small"),
                    format!("write {least} or more"),
                );
            } else if number > most {
                self.error(
                    key,
                    format!("is {number}, which is too large"),
                    format!("write {most} or less"),
                );
            }
        }
        // hyper's buffer for a head has 8 KiB at least.
        for (key, size, least, least_text) in [
            ("server.max_header_size", server.max_header_size, 8 << 10, "8KiB"),
            ("server.inspected_body", server.inspected_body, 1 << 10, "1KiB"),
            ("auth.signed_chunk", config.auth.signed_chunk, 8 << 10, "8KiB"),
        ] {
            if size.0 < least {
                self.error(
                    key,
                    format!("is {size}, which is too small"),
                    format!("write {least_text} or more"),
                );
            } else if size.0 > 1 << 30 {
                self.error(key, format!("is {size}, which is too large"), "write 1GiB or less");
            }
        }
        if server.inspected_bodies < server.inspected_body {
            let message = format!(
                "is {}, less than the one body that `server.inspected_body` allows",
                server.inspected_bodies
            );
            let problem = Problem::error(
                "server.inspected_bodies",
                message,
                format!("write {} or more", server.inspected_body),
            );
            self.among(&["server.inspected_body"], problem);
        }
    }

    fn periods(&mut self, config: &Config) {
        const DAY: Duration = Duration::from_secs(86_400);
        let (upstream, server) = (&config.upstream, &config.server);
        for (key, period) in [
            ("upstream.connect_timeout", upstream.connect_timeout),
            ("upstream.response_timeout", upstream.response_timeout),
            ("upstream.idle_timeout", upstream.idle_timeout),
            ("upstream.keep_alive", upstream.keep_alive),
            ("server.header_timeout", server.header_timeout),
            ("server.keep_alive", server.keep_alive),
            ("server.idle_timeout", server.idle_timeout),
            ("server.inspected_timeout", server.inspected_timeout),
            ("auth.oidc_cookie.max_age", config.auth.oidc_cookie.max_age),
            ("auth.saml_cookie.max_age", config.auth.saml_cookie.max_age),
            ("uploads.abandoned_after", config.uploads.abandoned_after),
            ("uploads.retention", config.uploads.retention),
            ("audit.retention", config.audit.retention),
            ("audit.rotate.age", config.audit.rotate.age),
            ("audit.reads.retention", config.audit.reads.retention),
            ("record.undo.retention", config.record.undo.retention),
            ("record.approvals.pending", config.record.approvals.pending),
            ("record.approvals.valid", config.record.approvals.valid),
        ] {
            if period.0.is_zero() {
                self.error(key, "is no time at all", "write a length of time, as in `30s`");
            }
        }
        if config.uploads.abandoned_after > Period(DAY) {
            let message = format!(
                "is {}, and lakeFS forgets an upload's address after 24h",
                config.uploads.abandoned_after
            );
            self.error("uploads.abandoned_after", message, "write 24h or less");
        }
        if config.auth.proof_ttl > Period(Duration::from_secs(300)) {
            let message = format!(
                "is {}: so long does a credential that lakeFS has revoked still pass",
                config.auth.proof_ttl
            );
            self.warning("auth.proof_ttl", message, "write 5m or less");
        }
        if let UpstreamIdentity::Mint(mint) = &config.auth.upstream
            && !(Period(Duration::from_secs(10))..=Period(DAY)).contains(&mint.lifetime)
        {
            let message = format!("is {}, and a token lives between 10s and 24h", mint.lifetime);
            self.error("auth.upstream.mint.lifetime", message, "minutes are enough: write `5m`");
        }
    }

    fn uploads(&mut self, config: &Config) {
        if config.uploads.on_abandoned == OnAbandoned::Abort && !config.auth.has_own_user() {
            let problem = Problem::error(
                "uploads.on_abandoned",
                "aborts uploads, and the gateway has no user of its own to do it as",
                "write `service: { access_key_id: ..., secret_access_key: ... }` below `auth`, or `on_abandoned: report`",
            );
            self.among(&["auth.service", "auth.upstream"], problem);
        }
        if let StoreConfig::Embedded(embedded) = &config.store
            && embedded.sealing_key.as_ref().is_some_and(|key| key.expose().len() < 32)
        {
            self.error(
                "store.embedded.sealing_key",
                "is shorter than 32 characters, and could be guessed",
                "take the output of `openssl rand -base64 32`",
            );
        }
    }

    fn replicas(&mut self, config: &Config) {
        let Some(redis) = &config.replicas.redis else {
            if config.replicas.name.is_some() {
                let remedy = "write `redis: { url: redis://HOST:PORT }` beside it, or take it out";
                self.warning("replicas.name", "has no effect without `replicas.redis`", remedy);
            }
            return;
        };
        if config
            .replicas
            .name
            .as_ref()
            .is_some_and(|name| name.is_empty() || name.len() > 100)
        {
            self.error(
                "replicas.name",
                "has no, or more than 100 characters",
                "write a short name, or take the key out",
            );
        }
        match &config.store {
            StoreConfig::Memory => {
                let problem = Problem::error(
                    "store",
                    "is `memory`, and with `replicas.redis` every replica keeps a durable copy of its own",
                    "write `store: { embedded: { path: lakegate.redb, sealing_key: ${file:PATH} } }`",
                );
                self.among(&["replicas.redis"], problem);
            }
            StoreConfig::Embedded(embedded) if embedded.sealing_key.is_none() => {
                let problem = Problem::error(
                    "store.embedded.sealing_key",
                    "is not given, and with `replicas.redis` all replicas must seal with the same key",
                    "write `sealing_key: ${file:PATH}` below `store.embedded`, the same on every replica",
                );
                self.among(&["replicas.redis", "store.embedded"], problem);
            }
            StoreConfig::Embedded(_) => {}
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '{' | '}');
        if !(1..=100).contains(&redis.prefix.len()) || !redis.prefix.chars().all(plain) {
            let remedy = "write 1 to 100 letters, digits, `-`, `_`, `.`, `:`";
            self.error(
                "replicas.redis.prefix",
                format!("is `{}`, and keys may not begin so", redis.prefix),
                remedy,
            );
        }
        let limits = Period(Duration::from_millis(5))..=Period(Duration::from_secs(1));
        if !limits.contains(&redis.timeout) {
            let message = format!("is {}, and requests wait so long when Redis hangs", redis.timeout);
            self.error("replicas.redis.timeout", message, "write a time from 5ms to 1s");
        }
        if let Some(Err(why)) = redis.ca.as_ref().map(super::tls::PemFile::certificates) {
            self.error(
                "replicas.redis.ca",
                why,
                "name a PEM file of certificates that the gateway may read",
            );
        }
        if redis.ca.is_some() && !redis.url.secure {
            let problem = Problem::warning(
                "replicas.redis.ca",
                "has no effect, because `replicas.redis.url` is without TLS",
                "write `rediss://` there",
            );
            self.among(&["replicas.redis.url"], problem);
        }
        if !redis.url.secure && redis.password.is_some() && !is_local(&redis.url.host) {
            let problem = Problem::warning(
                "replicas.redis.url",
                "sends the password of Redis over the network without TLS",
                "write `rediss://` if Redis has TLS, or keep the network between to yourself",
            );
            self.among(&["replicas.redis.password"], problem);
        }
    }

    fn record(&mut self, config: &Config) {
        let undo = &config.record.undo;
        let pinned = undo.pin.iter().find(|pin| !undo.operations.contains(pin));
        if pinned.is_some() {
            let problem = Problem::error(
                "record.undo.pin",
                "names an operation that is not written down",
                "name it in `record.undo.operations` too",
            );
            self.among(&["record.undo.operations"], problem);
        }
        // As lakeFS's tags are (pkg/graveler/validate.go), and so that nothing in a path needs encoding.
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !(1..=100).contains(&undo.tag_prefix.len()) || !undo.tag_prefix.chars().all(plain) {
            self.error(
                "record.undo.tag_prefix",
                format!("is `{}`, and a tag's name may not begin so", undo.tag_prefix),
                "write 1 to 100 letters, digits, `-` and `_`",
            );
        }
        let own = config.auth.has_own_user();
        if !own && undo != &super::UndoConfig::default() && !undo.operations.is_empty() {
            let problem = Problem::warning(
                "record.undo",
                "writes heads down, and the gateway has no user of its own: `lakegate undo apply` cannot bring them back, and expired tags stay",
                "write `service: { access_key_id: ..., secret_access_key: ... }` below `auth`",
            );
            self.among(&["auth.service", "auth.upstream"], problem);
        }
    }

    fn guard(&mut self, config: &Config) {
        if !matches!(config.guard.lakefs_rules, None | Some(LakefsRules::Off)) && !config.auth.has_own_user() {
            let problem = Problem::error(
                "guard.lakefs_rules",
                "asks for lakeFS's own rules, and the gateway has no user of its own to read them with",
                "write `service: { access_key_id: ..., secret_access_key: ... }` below `auth`, or `lakefs_rules: off`",
            );
            self.among(&["auth.service", "auth.upstream"], problem);
        }
    }

    fn log(&mut self, config: &Config) {
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&config.log.filter) {
            self.error(
                "log.filter",
                format!("is no filter: {error}"),
                "write a level, or directives as in `info,lakegate::limit=debug`",
            );
        }
    }
}

/// Whether two listeners cannot both have their address.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip(), other.ip());
    // `[::]` takes IPv4 as well, on a machine as it comes.
    let wide = |ip: std::net::IpAddr, of: std::net::IpAddr| ip.is_unspecified() && (ip.is_ipv6() || of.is_ipv4());
    one.port() == other.port() && one.port() != 0 && (a == b || wide(a, b) || wide(b, a))
}

/// Whether a connection to `url` would arrive at a listener on `address` of this machine.
fn reaches(url: &HttpUrl, address: SocketAddr) -> bool {
    let host = url.host.trim_start_matches('[').trim_end_matches(']');
    let local = match host.parse::<std::net::IpAddr>() {
        Ok(ip) => ip == address.ip() || (address.ip().is_unspecified() && ip.is_loopback()),
        Err(_) => {
            host.eq_ignore_ascii_case("localhost") && (address.ip().is_loopback() || address.ip().is_unspecified())
        }
    };
    local && url.port == address.port()
}

/// Whether a host is this machine.
fn is_local(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether `host` is a subdomain of `domain`.
fn below(host: &str, domain: &str) -> bool {
    let (host, domain) = (host.to_ascii_lowercase(), domain.to_ascii_lowercase());
    host.strip_suffix(&domain).is_some_and(|name| name.ends_with('.'))
}
