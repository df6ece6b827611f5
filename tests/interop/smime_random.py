"""Random sealed and signed messages, opened and verified by OpenSSL and compared octet by octet with what was accepted.

`cargo test --test smime_random write_random` writes them. After them comes the round trip of 50 MB, which is too slow for every
`cargo test`. What stands outside and inside is worked out here anew, from
RFC 9788 and the list below. By itself: `python3 smime_random.py`.
"""

import base64
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# Longest that building and writing may take: the test target is compiled for it.
BUILD_SECONDS = 1200
LIMIT_SECONDS = 60
# Longest that the round trip of 50 MB may take, unoptimised.
LARGE_SECONDS = 600
MESSAGES = 200
# Fields that stand nowhere inside; nor does the Received field on top, which is the server's own.
GONE = {b"dkim-signature", b"authentication-results", b"bcc", b"hp-outer"}
STRUCTURAL = re.compile(rb"(?i)mime-version|content-.*")


class Wrong(Exception):
    """What does not hold of a message."""


def holds(condition, what):
    if not condition:
        raise Wrong(what)


def openssl(*command):
    done = subprocess.run(["openssl", "cms", *map(str, command)], capture_output=True, timeout=LIMIT_SECONDS, check=False)
    if done.returncode != 0:
        raise Wrong(done.stderr.decode("utf-8", "replace").strip().splitlines()[-1])
    return done.stdout


def split(octets):
    """Header with its last line end, and body."""
    header, empty, body = octets.partition(b"\r\n\r\n")
    return (header + b"\r\n", body) if empty else (octets, b"")


def fields(header):
    """Name and raw value of each field, folds and all."""
    raw = re.split(rb"\r\n(?![ \t])", header.removesuffix(b"\r\n"))
    return [tuple(line.split(b":", 1)) for line in raw if line]


def pair(name, value):
    return name, re.sub(rb"\r\n(?=[ \t])", b"", value).strip(b" \t")


def signed_root(entity, scratch, authority):
    """The part that is signed, once the signature was verified over exactly its octets."""
    header, body = split(entity)
    [(name, value)] = fields(header)
    holds(name.lower() == b"content-type" and b"multipart/signed" in value, "no multipart/signed")
    boundary = b"--" + re.search(rb'boundary="([^"]+)"', value)[1]
    parts = (b"\r\n" + body).split(b"\r\n" + boundary)
    holds(len(parts) == 4 and parts[0] == b"" and parts[3] == b"--\r\n", f"{len(parts)} pieces")
    root = parts[1].removeprefix(b"\r\n")
    signature = scratch / "signature.der"
    signature.write_bytes(base64.b64decode(split(parts[2].removeprefix(b"\r\n"))[1]))
    content, mail = scratch / "root", scratch / "entity"
    content.write_bytes(root)
    mail.write_bytes(entity)
    found = openssl("-verify", "-binary", "-inform", "DER", "-in", signature, "-content", content, "-CAfile", authority)
    holds(found == root, "the signed octets are others")
    # And as the mail that it is, by OpenSSL's own reading of MIME.
    openssl("-verify", "-inform", "SMIME", "-in", mail, "-CAfile", authority)
    content.write_bytes(root + b"x")
    try:
        openssl("-verify", "-binary", "-inform", "DER", "-in", signature, "-content", content, "-CAfile", authority)
    except Wrong:
        return root
    raise Wrong("a changed root is verified too")


def compare(root, before, outer):
    """Root and content are the same, but for what RFC 9788 adds."""
    header, body = split(before)
    root_header, root_body = split(root)
    holds(root_body == body, "the body differs")
    inside = fields(root_header)
    told = [pair(*value.strip(b" ").split(b":", 1)) for name, value in inside if name == b"HP-Outer"]
    shown = [pair(name, value) for name, value in fields(outer)
             if name.lower() != b"received" and not STRUCTURAL.fullmatch(name)]
    holds(told == shown, f"HP-Outer tells {told}, outside is {shown}")
    holds((b"Subject", b"[...]") in shown, "no dots")
    kept = []
    for name, value in inside:
        if name.lower() == b"content-type":
            value, count = re.subn(rb';(\r\n)? hp="cipher"', b"", value, count=1)
            holds(count == 1, "no hp parameter")
        if name != b"HP-Outer":
            kept.append((name, value))
    before_fields = fields(header)
    if before_fields[0][0].lower() == b"received":
        del before_fields[0]
    wanted = [(name, value) for name, value in before_fields if name.lower() not in GONE]
    if not any(name.lower() == b"content-type" for name, _ in wanted):
        wanted.append((b"Content-Type", b' text/plain; charset="us-ascii"' if body.isascii() else b" text/plain"))
    holds(kept == wanted, f"fields are {kept}, not {wanted}")


def judge(path, scratch):
    directory = path.parent
    key = directory / path.stem.split("-")[2]
    entity = openssl("-decrypt", "-binary", "-inform", "SMIME", "-in", path, "-recip", f"{key}.crt", "-inkey", f"{key}.key")
    signed = "-signed-" in path.name
    root = signed_root(entity, scratch, directory / "ca.pem") if signed else entity
    wire = path.read_bytes()
    outer, body = split(wire)
    compare(root, path.with_suffix(".content").read_bytes(), outer)
    der = base64.b64decode(body)
    for canary in path.with_suffix(".canaries").read_bytes().split():
        holds(canary not in wire and canary not in der, f"{canary.decode()} can be seen")


def all_of(scratch):
    """What is wrong, one line a message."""
    # Where this build goes, and the files with it.
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    subprocess.run(["cargo", "test", "--quiet", "--test", "smime_random", "write_random", "--", "--ignored", "--exact"],
                   cwd=ROOT, timeout=BUILD_SECONDS, check=True, stdout=subprocess.DEVNULL)
    paths = sorted((target / "tmp" / "smime-random").glob("*.eml"))
    wrong = [] if len(paths) == MESSAGES else [f"{len(paths)} messages were written"]
    for path in paths:
        try:
            judge(path, scratch)
        except (Wrong, subprocess.TimeoutExpired, ValueError, TypeError) as error:
            wrong.append(f"{path.stem}: {error}")
    return wrong


def large():
    """The ignored test of 50 MB by itself: building has a limit of its own."""
    test = ["cargo", "test", "--quiet", "--lib"]
    subprocess.run([*test, "--no-run"], cwd=ROOT, timeout=BUILD_SECONDS, check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run([*test, "seal::tests::random::fifty_megabytes", "--", "--ignored"], cwd=ROOT, timeout=LARGE_SECONDS,
                          check=False, capture_output=True, text=True)
    if done.returncode != 0 or "1 passed" not in done.stdout:
        return (done.stdout + done.stderr)[-400:]
    return None


def checks(check, w, _binary):
    """The part `smime_random` of `checks.py`."""
    scratch = w.scratch / "smime-random"
    scratch.mkdir()
    check(f"{MESSAGES} random messages are the same after OpenSSL decrypts and verifies them",
          lambda: "; ".join(all_of(scratch)[:5]) or None)
    check("50 MB are the same after decryption", large)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="smime-random.") as made:
        found = all_of(pathlib.Path(made))
    for each in found:
        print("FAIL", each)
    print(f"{MESSAGES - len(found)} passed, {len(found)} failed")
    problem = large()
    print(f"50 MB: {problem or 'the same'}")
    sys.exit(1 if found or problem else 0)
