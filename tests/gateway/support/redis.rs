//! A real Redis server for a test, that can be killed, stopped in its tracks, emptied and started again; and a wire to it that can be cut.
//! Where there is no `redis-server`, a test that wants one says so on the terminal and ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// A running server; it ends with its value.
#[derive(Debug)]
pub(crate) struct Redis {
    port: u16,
    server: Child,
    folder: tempfile::TempDir,
}

impl Redis {
    /// Starts one on a free port; `None` where there is none.
    pub(crate) fn start() -> Option<Self> {
        let found = Command::new("redis-server")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if !found.is_ok_and(|found| found.success()) {
            let thread = std::thread::current();
            // Past the test's captured output.
            _ = writeln!(
                std::io::stderr(),
                "\nSKIPPED {}: no redis-server here",
                thread.name().unwrap_or("a test")
            );
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a free port")
            .port();
        let folder = tempfile::tempdir().expect("a folder");
        let server = spawn(port, &folder);
        let redis = Self { port, server, folder };
        redis.answers();
        Some(redis)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// One command, in Redis's words for people.
    pub(crate) fn command(&self, command: &str) -> std::io::Result<String> {
        let mut wire = TcpStream::connect(self.address())?;
        wire.set_read_timeout(Some(Duration::from_secs(5)))?;
        wire.write_all(format!("{command}\r\n").as_bytes())?;
        let mut line = String::new();
        BufReader::new(wire).read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    pub(crate) fn flush(&self) {
        assert_eq!(self.command("FLUSHALL").expect("Redis answers"), "+OK");
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.server.kill().expect("it can be killed");
        self.server.wait().expect("it ends");
    }

    /// Starts it again, with nothing in it.
    pub(crate) fn restart(&mut self) {
        self.server = spawn(self.port, &self.folder);
        self.answers();
    }

    /// It keeps its connections and answers nothing.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.server.id().to_string()])
            .status();
        assert!(sent.expect("kill").success());
    }

    fn answers(&self) {
        let mut tries = 0;
        while !self.command("PING").is_ok_and(|answer| answer == "+PONG") {
            tries += 1;
            assert!(tries < 2000, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Ok(None) = self.server.try_wait() {
            self.thaw();
        }
        _ = self.server.kill();
        _ = self.server.wait();
    }
}

fn spawn(port: u16, folder: &tempfile::TempDir) -> Child {
    Command::new("redis-server")
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
        ])
        .arg(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server starts")
}

/// A wire to a server that can be cut: then what is open ends, and nothing new is let through.
#[derive(Debug)]
pub(crate) struct Wire {
    address: SocketAddr,
    whole: Arc<watch::Sender<bool>>,
}

impl Wire {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let whole = Arc::new(watch::Sender::new(true));
        let watched = Arc::clone(&whole);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut whole = watched.subscribe();
                tokio::spawn(async move {
                    let Ok(mut server) = tokio::net::TcpStream::connect(server).await else {
                        return;
                    };
                    tokio::select! {
                        _ = whole.wait_for(|whole| !whole) => {}
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                    }
                });
            }
        });
        Self { address, whole }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }
}
