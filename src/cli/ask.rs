//! Asks the running gateway over its command socket: the store takes one opener, so a command never opens it itself.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::admin::Failure;
use crate::config::{AdminConfig, load};
use crate::exchange::Body;
use crate::exchange::body::Read;

/// Longest answer that is taken: the most records of one answer, each as long as it can be.
const ANSWER_MAX: usize = 128 << 20;
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the running gateway is asked.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Running {
    /// The running gateway's command socket [default: admin.socket of --config, or lakegate.sock here]
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    socket: Option<PathBuf>,
    /// Its configuration file, which names the socket
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Whom to ask, and how to say it.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Asked {
    /// Print JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) running: Running,
}

impl Running {
    fn path(&self) -> anyhow::Result<PathBuf> {
        Ok(match (&self.socket, &self.config) {
            (Some(socket), _) => socket.clone(),
            (None, Some(config)) => load(Some(config))?.config.admin.socket,
            (None, None) => AdminConfig::default().socket,
        })
    }

    /// Asks for `target`, a path with its query.
    pub(crate) fn get<T: DeserializeOwned>(&self, target: &str) -> anyhow::Result<T> {
        self.ask(Method::GET, target)
    }

    /// Orders what `target` names, a path with its query.
    pub(crate) fn post<T: DeserializeOwned>(&self, target: &str) -> anyhow::Result<T> {
        self.ask(Method::POST, target)
    }

    fn ask<T: DeserializeOwned>(&self, method: Method, target: &str) -> anyhow::Result<T> {
        let path = self.path()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting a runtime")?;
        let (status, body) = runtime
            .block_on(async { timeout(PATIENCE, exchange(&path, method, target)).await })
            .map_err(|_| anyhow!("the lakegate at {} gave no answer in time", path.display()))??;
        if status != StatusCode::OK {
            match serde_json::from_slice::<Failure>(&body) {
                Ok(failure) => bail!(failure.message),
                Err(_) => bail!("the lakegate at {} answered {status}", path.display()),
            }
        }
        serde_json::from_slice(&body).context("reading the answer: is the running lakegate of another version?")
    }
}

async fn exchange(path: &Path, method: Method, target: &str) -> anyhow::Result<(StatusCode, Bytes)> {
    let stream = UnixStream::connect(path).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => anyhow!(
            "no lakegate answers at {}: is it running? name its socket with --socket",
            path.display()
        ),
        ErrorKind::PermissionDenied => anyhow!(
            "{} belongs to another user: run this as the user that lakegate runs as",
            path.display()
        ),
        _ => anyhow::Error::new(error).context(format!("connecting to {}", path.display())),
    })?;
    let broken = || format!("asking the lakegate at {}", path.display());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.with_context(broken)?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, "lakegate")
        .body(Empty::<Bytes>::new())
        .context("asking for something that is no path")?;
    let (head, body) = sender.send_request(request).await.with_context(broken)?.into_parts();
    let read = Body::from(body).read_capped(ANSWER_MAX).await.with_context(broken)?;
    connection.abort();
    match read {
        Read::Whole(body, _) => Ok((head.status, body)),
        Read::TooLarge => bail!("the answer is too large: ask for less with --limit"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use super::*;
    use crate::admin::{Admin, Page, Parts, Status};
    use crate::config::UploadsConfig;
    use crate::lakefs_client::fake::FakeLakefs;
    use crate::observe::Metrics;
    use crate::replicas::Replicas;
    use crate::store::{State, Store, Upload};
    use crate::uploads::Ledger;
    use crate::{limit, record};

    fn at(path: &Path) -> Running {
        Running {
            socket: Some(path.to_owned()),
            config: None,
        }
    }

    #[test]
    fn where_nobody_answers_the_remedy_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let nobody = folder.path().join("nobody.sock");
        let dead = folder.path().join("dead.sock");
        drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
        for path in [nobody, dead] {
            let error = at(&path).get::<Status>("/status").unwrap_err().to_string();
            let expected = format!(
                "no lakegate answers at {}: is it running? name its socket with --socket",
                path.display()
            );
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn the_configuration_names_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lakegate.yaml");
        std::fs::write(
            &file,
            "upstream: {url: \"http://127.0.0.1:8000\"}\nadmin: {socket: /x/y.sock}\n",
        )
        .unwrap();
        let running = Running {
            socket: None,
            config: Some(file),
        };
        assert_eq!(running.path().unwrap(), Path::new("/x/y.sock"));
        assert_eq!(Running::default().path().unwrap(), Path::new("lakegate.sock"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_running_process_answers_and_says_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let config = AdminConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            socket: folder.path().join("lakegate.sock"),
            ..AdminConfig::default()
        };
        let store = Store::memory().unwrap();
        let upload = Upload::sample("lake", State::Open);
        store.put_upload(upload.clone()).await.unwrap();
        let lakefs = FakeLakefs::start().await;
        let metrics = Arc::new(Metrics::new());
        let serving = tokio::spawn(Admin::bind(&config).await.unwrap().serve(Parts {
            record: record::State::new(store.clone(), lakefs.client(), Replicas::alone(), Arc::clone(&metrics)),
            ledger: Ledger::new(
                &UploadsConfig::default(),
                store.clone(),
                lakefs.client(),
                Replicas::alone(),
                Arc::clone(&metrics),
            ),
            limit: Arc::new(limit::State::new(Arc::clone(&metrics))),
            store,
            metrics,
            audit: None,
            client: lakefs.client(),
            draining: Box::new(|| false),
            config: None,
        }));
        let asking = tokio::task::spawn_blocking(move || {
            let running = at(&config.socket);
            let page: Page = running.get("/uploads?state=open").unwrap();
            assert_eq!(page.uploads, [upload]);
            let error = running.get::<Page>("/uploads?state=opn").unwrap_err().to_string();
            assert!(error.contains("`opn` is no state of an upload"), "{error}");
            let error = running.get::<Status>("/uploads").unwrap_err().to_string();
            assert!(error.contains("another version"), "{error}");
        });
        asking.await.unwrap();
        serving.abort();
    }
}
