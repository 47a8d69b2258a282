//! A client that speaks bytes: what it sends is what goes over the wire, and what it reads it reads strictly.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than anything here may take: a test that reaches it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for a future that must come soon.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    soon(what, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// One message off the wire.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Request or status line.
    pub(crate) start: String,
    /// Header lines as they came, without line ends.
    pub(crate) headers: Vec<String>,
    /// The body, without its chunking.
    pub(crate) body: Vec<u8>,
    /// Trailer lines of a chunked body.
    pub(crate) trailers: Vec<String>,
}

impl Message {
    /// The status of an answer.
    pub(crate) fn status(&self) -> u16 {
        self.start
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or(0)
    }

    /// All values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter_map(|line| line.split_once(':'))
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    /// The one value of a header that may come at most once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} came {} times: {:?}", all.len(), self.headers);
        all.first().copied()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Wire<S = TcpStream> {
    stream: S,
    seen: Vec<u8>,
}

impl Wire {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::new(
            soon("a connection", TcpStream::connect(address))
                .await
                .expect("connects"),
        )
    }

    /// Takes one that stands.
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("nodelay");
        Self::over(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Takes any stream.
    pub(crate) fn over(stream: S) -> Self {
        Self {
            stream,
            seen: Vec::new(),
        }
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon("room to write", self.stream.write_all(bytes.as_ref()))
            .await
            .expect("sends");
    }

    /// Sends, and does not mind if the other side no longer wants it.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        soon("room to write", self.stream.write_all(bytes.as_ref()))
            .await
            .is_ok()
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Message {
        self.send(bytes).await;
        self.answer().await
    }

    /// Reads the answer to anything but HEAD, interim answers left out.
    pub(crate) async fn answer(&mut self) -> Message {
        self.answer_to("GET").await
    }

    /// Reads the answer to a method.
    pub(crate) async fn answer_to(&mut self, method: &str) -> Message {
        loop {
            let head = self.head().await.expect("an answer before the end");
            let status = head.status();
            if status == 100 {
                continue;
            }
            return match method == "HEAD" || status == 204 || status == 304 {
                true => head,
                false => self.body(head, true).await.expect("a whole answer"),
            };
        }
    }

    /// Reads one request with its body; nothing if the connection ended before it, an error if within.
    pub(crate) async fn request(&mut self) -> Option<Result<Message, &'static str>> {
        let head = match self.head().await {
            Some(head) => head,
            None if self.seen.is_empty() => return None,
            None => return Some(Err("cut in the head")),
        };
        Some(self.body(head, false).await)
    }

    /// Reads a head; nothing if the connection ends first.
    pub(crate) async fn head(&mut self) -> Option<Message> {
        soon("a head", self.head_whenever()).await
    }

    /// Reads a head, whenever it comes.
    pub(crate) async fn head_whenever(&mut self) -> Option<Message> {
        let end = loop {
            if let Some(end) = self.seen.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            self.seen.reserve(64 << 10);
            match self.stream.read_buf(&mut self.seen).await {
                Ok(more) if more > 0 => {}
                _ => return None,
            }
        };
        let head: Vec<u8> = self.seen.drain(..end + 4).collect();
        let mut lines = std::str::from_utf8(&head[..end])
            .expect("a head of text")
            .split("\r\n")
            .map(str::to_owned);
        Some(Message {
            start: lines.next().unwrap_or_default(),
            headers: lines.collect(),
            body: Vec::new(),
            trailers: Vec::new(),
        })
    }

    /// Reads the body that a head announces.
    pub(crate) async fn body(&mut self, mut message: Message, answer: bool) -> Result<Message, &'static str> {
        if let Some(coding) = message.header("transfer-encoding") {
            assert_eq!(coding, "chunked");
            assert_eq!(
                message.header("content-length"),
                None,
                "both lengths: {:?}",
                message.headers
            );
            self.chunks(&mut message).await?;
        } else if let Some(length) = message.header("content-length") {
            let length: usize = length.parse().expect("a plain content-length");
            while self.seen.len() < length {
                if !self.fill().await {
                    return Err("cut in the body");
                }
            }
            message.body = self.seen.drain(..length).collect();
        } else if answer {
            while self.fill().await {}
            message.body = std::mem::take(&mut self.seen);
        }
        Ok(message)
    }

    async fn chunks(&mut self, message: &mut Message) -> Result<(), &'static str> {
        loop {
            let size = self.line().await.ok_or("cut in a chunk")?;
            let size = usize::from_str_radix(&size, 16).expect("a plain chunk size");
            if size == 0 {
                loop {
                    match self.line().await.ok_or("cut in the trailers")? {
                        line if line.is_empty() => return Ok(()),
                        line => message.trailers.push(line),
                    }
                }
            }
            while self.seen.len() < size + 2 {
                if !self.fill().await {
                    return Err("cut in a chunk");
                }
            }
            message.body.extend(self.seen.drain(..size));
            assert_eq!(self.seen.drain(..2).collect::<Vec<_>>(), b"\r\n");
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.seen.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.seen.drain(..end + 2).collect();
                return Some(String::from_utf8(line[..end].to_vec()).expect("a line of text"));
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Reads what comes next; false at the end, however it came.
    pub(crate) async fn fill(&mut self) -> bool {
        self.seen.reserve(64 << 10);
        matches!(soon("bytes or the end", self.stream.read_buf(&mut self.seen)).await, Ok(more) if more > 0)
    }

    /// What came and was not read as a message yet.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.seen)
    }

    /// Sends pieces, `most` bytes in all, until the other side takes no more; says how many bytes went.
    pub(crate) async fn send_while_taken(&mut self, piece: &[u8], most: usize) -> usize {
        let mut sent = 0;
        while sent < most {
            let room = piece.len().min(most - sent);
            match timeout(Duration::from_millis(300), self.stream.write(&piece[..room])).await {
                Ok(Ok(more)) => sent += more,
                _ => break,
            }
        }
        sent
    }

    /// Sends no more.
    pub(crate) async fn end(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Whether something, or the end, comes within a time.
    pub(crate) async fn try_fill(&mut self, within: Duration) -> bool {
        timeout(within, self.stream.read_buf(&mut self.seen)).await.is_ok()
    }

    /// Waits for the end of the connection, and returns what came before it.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.seen)
    }
}
