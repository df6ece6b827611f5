"""Three MXes that break STARTTLS, each on its own address: one answers 454, one breaks the
handshake, one sends replies in clear behind its 220 before the handshake.

Every line and every byte that they are sent goes to a transcript, NAME.transcript.
"""

import asyncio
import pathlib
import ssl
import sys

CAPABILITIES = b"250-mx.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-STARTTLS\r\n250 ENHANCEDSTATUSCODES\r\n"


class Peer:
    def __init__(self, name, behaviour, directory, context):
        self.behaviour = behaviour
        self.context = context
        self.transcript = open(pathlib.Path(directory) / f"{name}.transcript", "ab", buffering=0)

    def note(self, direction, data):
        self.transcript.write(direction + b" " + repr(data).encode() + b"\n")

    async def serve(self, reader, writer):
        try:
            await asyncio.wait_for(self.talk(reader, writer), 60)
        except (ConnectionError, TimeoutError, ssl.SSLError, asyncio.IncompleteReadError, OSError) as error:
            self.note(b"!", type(error).__name__)
        finally:
            self.note(b"!", "closed")
            writer.close()

    def say(self, writer, data):
        self.note(b">", data)
        writer.write(data)

    async def talk(self, reader, writer):
        """Plays a mail server that would take anything, so that only the client can hold back."""
        self.say(writer, b"220 mx.test ESMTP\r\n")
        while line := await reader.readline():
            self.note(b"<", line)
            verb = line.split(None, 1)[0].upper() if line.strip() else b""
            if verb in (b"EHLO", b"HELO"):
                self.say(writer, CAPABILITIES)
            elif verb == b"STARTTLS":
                if not await self.starttls(reader, writer):
                    return
            elif verb == b"DATA":
                self.say(writer, b"354 go on\r\n")
            elif verb == b"QUIT":
                self.say(writer, b"221 2.0.0 bye\r\n")
                return
            else:
                self.say(writer, b"250 2.0.0 Ok\r\n")

    async def starttls(self, reader, writer):
        """Whether the session goes on."""
        if self.behaviour == "refuses":
            self.say(writer, b"454 4.7.0 TLS not available due to local problem\r\n")
            return True
        if self.behaviour == "broken":
            self.say(writer, b"220 2.0.0 Ready to start TLS\r\n")
            self.note(b"<", await reader.read(5))
            self.say(writer, b"this is no handshake\r\n" * 10)
            await writer.drain()
            while rest := await reader.read(4096):
                self.note(b"<", rest)
            return False
        # In one segment with the 220: what a client that keeps its buffer takes for TLS-protected.
        self.say(writer, b"220 2.0.0 Ready to start TLS\r\n" + CAPABILITIES + b"250 2.1.0 Ok\r\n" * 3)
        await writer.drain()
        await writer.start_tls(self.context)
        self.note(b"!", "handshake done")
        return True


async def main(directory, port, certificate, key):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    servers = []
    for pair in sys.argv[5:]:
        name, address = pair.split("=")
        peer = Peer(name, name, directory, context)
        servers.append(await asyncio.start_server(peer.serve, address, port))
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]))
