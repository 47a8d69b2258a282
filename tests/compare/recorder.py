"""A port that passes every byte on and remembers it: what a client really sent, and what really came back.

Clients speak to the same address whether lakeFS or the gateway stands behind it, so their requests (Host, signatures) are the same. With
TLS towards clients, it may pass on by TLS too.
"""

import asyncio
import dataclasses
import threading
import time


@dataclasses.dataclass
class Recorded:
    """One connection: what the client sent, with the times at which it came, and what it got."""

    sent: bytearray = dataclasses.field(default_factory=bytearray)
    got: bytearray = dataclasses.field(default_factory=bytearray)
    times: list = dataclasses.field(default_factory=list)

    def time_of(self, offset):
        """When the byte at this offset of what was sent had come."""
        return next((at for length, at in self.times if length > offset), 0.0)


class Recorder:
    """Listens on a port of its own, by TLS if it has a context for that, and passes on to whatever `behind` names at the time: host, port,
    and the context of TLS to it or None."""

    def __init__(self, tls=None):
        self.behind, self.connections, self._tasks, self._tls = None, [], set(), tls
        self._loop, self._up = asyncio.new_event_loop(), threading.Event()
        self.port = None
        threading.Thread(target=self._run, daemon=True).start()
        assert self._up.wait(10), "the recorder did not come up"

    @property
    def url(self):
        """Where clients speak to it."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    def take(self):
        """What was recorded since the last time; connections still open are closed."""
        done = asyncio.run_coroutine_threadsafe(self._settle(), self._loop)
        done.result(30)
        taken, self.connections = self.connections, []
        return taken

    async def _settle(self):
        # Clients have finished; what still lies open are kept connections.
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _run(self):
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0, limit=1 << 20, ssl=self._tls))
        self.port = server.sockets[0].getsockname()[1]
        self._up.set()
        self._loop.run_forever()

    async def _accept(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        recorded = Recorded()
        self.connections.append(recorded)
        out = None
        try:
            host, port, tls = self.behind
            back, out = await asyncio.open_connection(host, port, limit=1 << 20, ssl=tls)
            up = asyncio.ensure_future(_pipe(reader, out, recorded.sent, recorded.times))
            try:
                await _pipe(back, writer, recorded.got)
            finally:
                up.cancel()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for each in (writer, out):
                if each:
                    each.close()


async def _pipe(reader, writer, into, times=None):
    try:
        while piece := await reader.read(1 << 18):
            into += piece
            if times is not None:
                times.append((len(into), time.monotonic()))
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        pass
