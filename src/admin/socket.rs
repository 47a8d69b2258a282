//! The command socket's file: made for this process alone, taken over from a dead one, never from a living one.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};

use tokio::net::{UnixListener, UnixStream};

use super::serve::{Listener, Peer};

/// Why there can be no socket at a path.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Its folder does not exist.
    #[error("the folder of {0} does not exist: make it, or name another path")]
    NoFolder(PathBuf),
    /// Something else has the name.
    #[error("{0} exists and is not a socket: move it away, or name another path")]
    Taken(PathBuf),
    /// Another process answers on it.
    #[error("another process answers on {0}: stop the other lakegate, or give this one a socket of its own")]
    InUse(PathBuf),
    /// The system has a limit of about 100 bytes.
    #[error("{0} is too long for a socket: name a shorter path")]
    TooLong(PathBuf),
    /// Whatever else.
    #[error("cannot make {path}")]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// A listening socket; its file goes with it.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Who made it, and so may open it.
    owner: u32,
    inode: u64,
}

impl Socket {
    pub(super) fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed = |source: io::Error| {
            let path = path.to_owned();
            match source.kind() {
                ErrorKind::NotFound => SocketError::NoFolder(path),
                // The standard library's word for a path that does not fit.
                ErrorKind::InvalidInput => SocketError::TooLong(path),
                _ => SocketError::Io { path, source },
            }
        };
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                clear_stale(path)?;
                UnixListener::bind(path)
            }
            bound => bound,
        };
        let listener = listener.map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let made = fs::symlink_metadata(path).map_err(failed)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            owner: made.uid(),
            inode: made.ino(),
        })
    }

    /// Whether the peer is the gateway's own user or root. The file's mode says the same; it is set a moment after the file is made.
    fn admits(&self, stream: &UnixStream) -> bool {
        stream
            .peer_cred()
            .is_ok_and(|peer| peer.uid() == self.owner || peer.uid() == 0)
    }
}

/// Removes a socket that nobody answers on.
fn clear_stale(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Io {
        path: path.to_owned(),
        source,
    };
    if !fs::symlink_metadata(path).map_err(failed)?.file_type().is_socket() {
        return Err(SocketError::Taken(path.to_owned()));
    }
    match StdStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        _ => Err(SocketError::InUse(path.to_owned())),
    }
}

impl Listener for Socket {
    type Stream = UnixStream;

    fn peer(stream: &UnixStream) -> Peer {
        Peer(stream.peer_cred().ok().map(|peer| peer.uid()))
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<UnixStream>> {
        loop {
            match self.listener.poll_accept(cx) {
                Poll::Ready(Ok((stream, _))) if self.admits(&stream) => return Poll::Ready(Ok(stream)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Another process may have made its own there meanwhile.
        if fs::symlink_metadata(&self.path).is_ok_and(|now| now.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_is_for_its_owner_and_goes_with_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        let socket = Socket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_dead_ones_socket_is_taken_over_and_a_living_ones_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left behind");
        let living = Socket::bind(&path).unwrap();
        assert!(matches!(Socket::bind(&path), Err(SocketError::InUse(_))));
        drop(living);
        Socket::bind(&path).unwrap();
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_path_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "kept").unwrap();
        assert!(matches!(Socket::bind(&file), Err(SocketError::Taken(_))));
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
        let error = Socket::bind(&folder.path().join("none/s.sock")).unwrap_err();
        assert!(matches!(error, SocketError::NoFolder(_)), "{error:?}");
        let error = Socket::bind(&folder.path().join("x".repeat(200))).unwrap_err();
        assert!(matches!(error, SocketError::TooLong(_)), "{error:?}");
    }
}
