"""A small MX that speaks TLS, takes everything, and writes down what it took: the ledger's other side.

One line a message goes to the file: message id, `whole` if the body's SHA-256 is the one in its
`X-Sha256` field or else `half`, and the recipient. The line is written before the 250.
"""

import asyncio
import hashlib
import ssl
import sys


def field(header, name):
    for line in header.split(b"\r\n"):
        if line.lower().startswith(name + b":"):
            return line.split(b":", 1)[1].strip().decode()
    return "-"


async def content(reader):
    lines = []
    while (line := await reader.readline()) != b".\r\n":
        if not line.endswith(b"\r\n"):
            raise ConnectionError("cut inside the content")
        lines.append(line[1:] if line.startswith(b".") else line)
    return b"".join(lines)


async def session(reader, writer, context, took):
    recipient, secured = "-", False
    writer.write(b"220 mx.sink.test ESMTP\r\n")
    while line := await reader.readline():
        verb = line[:4].upper()
        if verb == b"EHLO":
            starttls = b"" if secured else b"250-STARTTLS\r\n"
            writer.write(b"250-mx.sink.test\r\n" + starttls + b"250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n")
        elif verb == b"STAR":
            writer.write(b"220 2.0.0 Ready\r\n")
            await writer.start_tls(context)
            secured = True
        elif not secured and verb != b"QUIT":
            writer.write(b"530 5.7.0 Must issue a STARTTLS command first\r\n")
        elif verb == b"RCPT":
            recipient = line.split(b"<", 1)[1].split(b">", 1)[0].decode()
            writer.write(b"250 2.1.5 Ok\r\n")
        elif verb == b"DATA":
            writer.write(b"354 End data with <CR><LF>.<CR><LF>\r\n")
            header, _, body = (await content(reader)).partition(b"\r\n\r\n")
            whole = hashlib.sha256(body).hexdigest() == field(header, b"x-sha256")
            took.write(f"{field(header, b'message-id')} {'whole' if whole else 'half'} {recipient}\n")
            took.flush()
            writer.write(b"250 2.0.0 Ok: taken\r\n")
        elif verb == b"QUIT":
            writer.write(b"221 2.0.0 Bye\r\n")
            return
        else:
            writer.write(b"250 2.0.0 Ok\r\n")
        await writer.drain()


async def main(address, port, certificate, key, path):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    with open(path, "a", encoding="utf-8") as took:
        async def serve(reader, writer):
            try:
                await session(reader, writer, context, took)
            except (ConnectionError, ssl.SSLError, OSError, asyncio.IncompleteReadError):
                pass  # the peer was killed: that is what this sink is for
            finally:
                writer.close()

        server = await asyncio.start_server(serve, address, int(port), limit=1 << 20)
        await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
