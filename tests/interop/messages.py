"""The messages that are sent, and what must arrive of them."""

import base64
import email.utils
import hashlib
import secrets

# Found nowhere but in message bodies and subjects: what a search of the disk looks for.
BODY_CANARY = "Befund-" + secrets.token_hex(16)
SUBJECT_CANARY = "Betreff-" + secrets.token_hex(16)

ADDED = {b"return-path", b"x-original-to", b"delivered-to", b"received", b"dkim-signature"}


def needles():
    """The canaries, as they are and as base64 at each of its three offsets."""
    found = []
    for canary in (BODY_CANARY, SUBJECT_CANARY):
        found.append(canary.encode())
        for offset in range(3):
            coded = base64.b64encode(b"\0" * offset + canary.encode())
            # The first and last group depend on the neighbours.
            found.append(coded[4:-4])
    return found


class Message:
    """Bytes with an id by which they are found again."""

    def __init__(self, sender, recipient, body, fields=()):
        self.sender, self.recipient = sender, recipient
        self.id = f"<{secrets.token_hex(12)}@clinic.test>"
        self.kept = [
            f"From: Billing <{sender}>",
            f"To: {recipient}",
            f"Subject: {SUBJECT_CANARY}",
            f"Date: {email.utils.formatdate()}",
            f"Message-ID: {self.id}",
            "MIME-Version: 1.0",
            *fields,
        ]
        self.body = body

    def bytes(self, extra=()):
        """The message; `extra` fields stand in its middle."""
        return "".join(f"{line}\r\n" for line in [*self.kept[:2], *extra, *self.kept[2:]]).encode() + b"\r\n" + self.body


def dots(sender, recipient):
    body = f"{BODY_CANARY}\r\n.\r\n..\r\n.hidden\r\n\r\n...\r\n. \r\nMAIL FROM:<x@y.test>\r\n\r\n.".encode()
    return Message(sender, recipient, body + b"\r\n", ["Content-Type: text/plain; charset=us-ascii"])


def eight_bit(sender, recipient):
    body = f"{BODY_CANARY}\r\nÄrztlicher Befund: unauffällig. 医学\r\n".encode()
    every = bytes(each for each in range(1, 256) if each not in (10, 13))
    return Message(sender, recipient, body + every + b"\r\n",
                   ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"])


def long_lines(sender, recipient):
    lines = [BODY_CANARY.encode().ljust(998, b"x"), b"." * 998, b"y" * 998, b"", b"z" * 997]
    return Message(sender, recipient, b"\r\n".join(lines) + b"\r\n",
                   ["X-Long: " + "h" * 990, "Content-Type: text/plain; charset=us-ascii"])


def attachment(sender, recipient, octets=20_000_000):
    # Text of a table, for what nobody can read would raise the level.
    letters = str.maketrans("0123456789", "ghijklmnop")
    row = lambda: f"{secrets.token_hex(8)},{secrets.token_hex(24)}".translate(letters)
    rows = "".join(f"{row()}\r\n" for _ in range(1000)).encode()
    data = base64.encodebytes(rows * (octets // len(rows))).replace(b"\n", b"\r\n")
    body = (f"--part\r\nContent-Type: text/plain\r\n\r\n{BODY_CANARY}\r\n--part\r\n"
            "Content-Type: text/csv\r\nContent-Transfer-Encoding: base64\r\n"
            'Content-Disposition: attachment; filename="table.csv"\r\n\r\n').encode() + data + b"--part--\r\n"
    return Message(sender, recipient, body, ['Content-Type: multipart/mixed; boundary="part"'])


def checksummed(sender, recipient, octets):
    """A body of about `octets`, with its SHA-256 in the header: half a message shows."""
    line = BODY_CANARY.encode() + b" " + secrets.token_hex(16).encode() + b"\r\n"
    body = line + secrets.token_hex(32).encode().ljust(76, b"=").join([b"", b"\r\n"]) * (octets // 78)
    return Message(sender, recipient, body, [f"X-Sha256: {hashlib.sha256(body).hexdigest()}"])


def split_added(mail):
    """The header fields that stand on top of the message as it was sent, and the rest."""
    names, rest = [], mail
    while True:
        name = rest.split(b":", 1)[0].lower()
        if name not in ADDED:
            return names, rest
        names.append(name)
        while True:
            _, _, rest = rest.partition(b"\r\n")
            if not rest.startswith((b" ", b"\t")):
                break
