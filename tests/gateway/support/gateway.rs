//! The whole gateway in this process, in front of whatever lakeFS a test has at an address.

use std::net::SocketAddr;

use lakegate::config::{Config, EmbeddedConfig, StoreConfig};
use lakegate::server::Gateway;
use tempfile::TempDir;

use super::raw::Wire;

/// A running gateway; its files go with it.
#[derive(Debug)]
pub(crate) struct TestGateway {
    pub(crate) gateway: Gateway,
    /// What it was started with.
    pub(crate) config: Config,
    /// Its store and socket.
    pub(crate) folder: TempDir,
}

impl TestGateway {
    /// Starts one on free ports, with the defaults and what `adapt` changes of them.
    pub(crate) async fn before(lakefs: SocketAddr, adapt: impl FnOnce(&mut Config)) -> Self {
        super::log::keep();
        let folder = tempfile::tempdir().expect("a folder");
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = Config {
            listen: free.into(),
            ..Config::default()
        };
        config.admin.listen = free;
        config.admin.socket = folder.path().join("lakegate.sock");
        config.store = StoreConfig::Embedded(EmbeddedConfig {
            path: folder.path().join("lakegate.redb"),
            ..EmbeddedConfig::default()
        });
        config.upstream.url = format!("http://{lakefs}").parse().expect("an address");
        adapt(&mut config);
        Self {
            gateway: Gateway::start(config.clone(), None).await.expect("the gateway starts"),
            config,
            folder,
        }
    }

    /// A new raw connection to it.
    pub(crate) async fn connect(&self) -> Wire {
        Wire::connect(self.gateway.addresses()[0]).await
    }

    /// Its page of metrics.
    pub(crate) async fn metrics(&self) -> String {
        let mut wire = Wire::connect(self.gateway.admin_address()).await;
        let page = wire
            .ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await;
        page.text().to_owned()
    }
}
