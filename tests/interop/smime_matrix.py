"""Who reads what: every shape of sealed and signed message, before programs of other people.

`cargo test --test smime_shapes write_shapes` writes the shapes; OpenSSL, GnuPG, NSS and Python's cryptography open
and verify them. A shape that nobody reads is a failure, and so is one that somebody reads as something else, or that a
judge does not read which is known to read it. By itself: `python3 smime_matrix.py`.
"""

import email
import email.policy
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from asn1crypto import cms, core
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, keywrap, padding as block_padding, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, aead, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LIMIT_SECONDS = 120
# Longest that building and writing may take: the test target is compiled for it.
BUILD_SECONDS = 1200
P12_PASSWORD = "interop"
NIST_AES = "2.16.840.1.101.3.4.1."


class CannotRead(Exception):
    """A judge does not open or accept a message: in one line, why."""


def run(command, stdin=b"", limit=LIMIT_SECONDS, env=None):
    done = subprocess.run([str(each) for each in command], input=stdin, capture_output=True, timeout=limit,
                          env={**os.environ, **(env or {})}, check=False)
    if done.returncode != 0:
        words = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        raise CannotRead(" | ".join(words[-3:]) if words else f"exit {done.returncode}")
    return done.stdout


class Shape:
    """A message with its keys and with what must come out."""

    def __init__(self, directory, scratch):
        self.name = directory.name
        self.directory = directory
        self.scratch = scratch / directory.name
        self.scratch.mkdir()
        self.signed = self.name.startswith("signed-")
        self.plain = (directory / "plain").read_bytes()
        raw = self.file("message.eml").read_bytes()
        message = email.message_from_bytes(raw, policy=email.policy.SMTP)
        part = message.get_payload()[1] if self.signed else message
        self.der = self.scratch / "message.der"
        self.der.write_bytes(part.get_payload(decode=True))
        if self.signed:
            # The signed octets, cut out as they stand: no parser may have touched them.
            boundary = b"\r\n--" + message.get_boundary().encode()
            _, content, _ = raw.split(boundary)[0:3]
            self.content = content[2:]

    def file(self, name):
        return self.directory / name

    def content_file(self):
        """The signed octets as a file."""
        path = self.scratch / "content"
        path.write_bytes(self.content)
        return path

    def p12(self):
        """Certificate, authority and key in the kind of PKCS #12 that all can read. The password is not empty: there are
        two ways to write none, and whether gpgsm finds the right one depends on the random salt."""
        path = self.scratch / "key.p12"
        if not path.exists():
            run(["openssl", "pkcs12", "-export", "-legacy", "-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES",
                 "-macalg", "sha1", "-inkey", self.file("key.pem"), "-in", self.file("certificate.pem"),
                 "-certfile", self.file("ca.pem"), "-name", "pat", "-passout", f"pass:{P12_PASSWORD}", "-out", path])
        return path


def openssl(shape):
    if shape.signed:
        # As the mail that it is, and the signature by itself over the very octets.
        run(["openssl", "cms", "-verify", "-inform", "SMIME", "-in", shape.file("message.eml"),
             "-CAfile", shape.file("ca.pem")])
        return run(["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", shape.der,
                    "-content", shape.content_file(), "-CAfile", shape.file("ca.pem")])
    return run(["openssl", "cms", "-decrypt", "-binary", "-inform", "SMIME", "-in", shape.file("message.eml"),
                "-recip", shape.file("certificate.pem"), "-inkey", shape.file("key.pem")])


def gpgsm(shape):
    """Twice, in a fresh home and with a key packed anew: now and then it does not take one that it takes a second later.
    A message that it cannot read, it cannot read the second time either."""
    try:
        return gpgsm_once(shape)
    except CannotRead:
        if not must_read("gpgsm", shape):
            raise
        (shape.scratch / "key.p12").unlink(missing_ok=True)
        return gpgsm_once(shape)


def gpgsm_once(shape):
    # A socket's path must be short, whatever the scratch directory is called.
    home = pathlib.Path(tempfile.mkdtemp(prefix="gpgsm."))
    home.chmod(0o700)
    env = {"GNUPGHOME": str(home)}
    options = ["gpgsm", "--batch", "--no-tty", "--pinentry-mode", "loopback", "--passphrase-fd", "0",
               "--disable-dirmngr", "--disable-crl-checks"]
    try:
        run(["gpgconf", "--launch", "gpg-agent"], env=env)
        authority = asn1_of(shape.file("ca.pem"))
        print_of = hashlib.sha1(authority).hexdigest().upper()  # noqa: S324: the name that gpg-agent wants
        (home / "trustlist.txt").write_text(f"{print_of} S relax\n", encoding="ascii")
        run([*options, "--import", shape.file("ca.pem")], env=env)
        if shape.signed:
            run([*options, "--import", shape.file("certificate.pem")], env=env)
            run([*options, "--verify", shape.der, shape.content_file()], env=env)
            return shape.content
        run([*options, "--import", shape.p12()], stdin=P12_PASSWORD.encode() + b"\n", env=env)
        return run([*options, "--decrypt", shape.der], stdin=P12_PASSWORD.encode() + b"\n", env=env)
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env={**os.environ, **env}, check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


def nss(shape):
    database = shape.scratch / "nss"
    database.mkdir()
    where = f"sql:{database}"
    run(["certutil", "-N", "-d", where, "--empty-password"])
    run(["certutil", "-A", "-d", where, "-n", "ca", "-t", "CT,C,C", "-i", shape.file("ca.pem")])
    out = shape.scratch / "nss.out"
    if shape.signed:
        run(["cmsutil", "-D", "-d", where, "-c", shape.content_file(), "-i", shape.der, "-o", out])
        return shape.content
    run(["pk12util", "-i", shape.p12(), "-d", where, "-W", P12_PASSWORD, "-K", ""])
    run(["cmsutil", "-D", "-d", where, "-i", shape.der, "-o", out])
    return out.read_bytes()


# ------------------------------------------------------------------ by hand, with cryptography


def asn1_of(path):
    return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(serialization.Encoding.DER)


def python(shape):
    info = cms.ContentInfo.load(shape.der.read_bytes(), strict=True)
    if shape.signed:
        verify(info, shape)
        return shape.content
    key = serialization.load_pem_private_key(shape.file("key.pem").read_bytes(), None)
    certificate = asn1_x509.Certificate.load(asn1_of(shape.file("certificate.pem")))
    data = info["content"]
    sealed = info["content_type"].native == "authenticated_enveloped_data"
    content = data["auth_encrypted_content_info" if sealed else "encrypted_content_info"]
    if len(data["recipient_infos"]) != 1:
        raise CannotRead("more than one recipient")
    content_key = unwrapped(data["recipient_infos"][0], key, certificate)
    octets = content["encrypted_content"].native
    algorithm = content["content_encryption_algorithm"]
    if sealed:
        parameters = core.Sequence.load(algorithm["parameters"].dump())
        nonce, length = parameters[0].native, parameters[1].native
        if algorithm["algorithm"].dotted != NIST_AES + "46" or length != 16:
            raise CannotRead("not AES-256-GCM with a tag of 16 octets")
        return aead.AESGCM(content_key).decrypt(nonce, octets + data["mac"].native, None)
    if algorithm["algorithm"].dotted != NIST_AES + "42":
        raise CannotRead("not AES-256-CBC")
    cipher = Cipher(algorithms.AES(content_key), modes.CBC(algorithm["parameters"].native)).decryptor()
    remover = block_padding.PKCS7(128).unpadder()
    return remover.update(cipher.update(octets) + cipher.finalize()) + remover.finalize()


def named(identifier, certificate):
    if identifier.native["issuer"] != certificate.issuer.native or \
            identifier.native["serial_number"] != certificate.serial_number:
        raise CannotRead("another certificate is named")


def unwrapped(recipient, key, certificate):
    info = recipient.chosen
    if recipient.name == "ktri":
        named(info["rid"].chosen, certificate)
        algorithm = info["key_encryption_algorithm"]
        if algorithm["algorithm"].native == "rsaes_oaep":
            parameters = algorithm["parameters"]
            if parameters["hash_algorithm"]["algorithm"].native != "sha256" or \
                    parameters["mask_gen_algorithm"]["parameters"]["algorithm"].native != "sha256":
                raise CannotRead("OAEP without SHA-256")
            how = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        else:
            how = padding.PKCS1v15()
        return key.decrypt(info["encrypted_key"].native, how)
    receivers = info["recipient_encrypted_keys"]
    if len(receivers) != 1:
        raise CannotRead("more than one recipient")
    named(receivers[0]["rid"].chosen, certificate)
    wrap = core.Sequence.load(info["key_encryption_algorithm"]["parameters"].dump())
    if wrap[0].dotted != NIST_AES + "45":
        raise CannotRead("not AES-256 key wrap")
    public = info["originator"].chosen["public_key"].native
    # ECC-CMS-SharedInfo (RFC 5753 section 7.2): the wrapping algorithm, and 256 bits.
    length = bytes.fromhex("a206040400000100")
    shared_info = wrap.dump() + length
    shared_info = bytes([0x30, len(shared_info)]) + shared_info
    scheme = info["key_encryption_algorithm"]["algorithm"].dotted
    if isinstance(key, x25519.X25519PrivateKey):
        if scheme != "1.2.840.113549.1.9.16.3.19":
            raise CannotRead(f"scheme {scheme}")
        secret = key.exchange(x25519.X25519PublicKey.from_public_bytes(public))
        wrapping = HKDF(hashes.SHA256(), 32, None, shared_info).derive(secret)
    else:
        digest = {"1.3.132.1.11.1": hashes.SHA256(), "1.3.132.1.11.2": hashes.SHA384()}[scheme]
        peer = ec.EllipticCurvePublicKey.from_encoded_point(key.curve, public)
        wrapping = X963KDF(digest, 32, shared_info).derive(key.exchange(ec.ECDH(), peer))
    return keywrap.aes_key_unwrap(wrapping, receivers[0]["encrypted_key"].native)


def verify(info, shape):
    signed = info["content"]
    if signed["encap_content_info"]["content"].native is not None:
        raise CannotRead("the signature is not detached")
    [signer] = signed["signer_infos"]
    found = [each.chosen for each in signed["certificates"]
             if each.chosen.serial_number == signer["sid"].chosen["serial_number"].native]
    [certificate] = found
    named(signer["sid"].chosen, certificate)
    if certificate.dump() != asn1_of(shape.file("certificate.pem")):
        raise CannotRead("another certificate is sent")
    attributes = {each["type"].dotted: each["values"] for each in signer["signed_attrs"]}
    digest = signer["digest_algorithm"]["algorithm"].native
    if attributes["1.2.840.113549.1.9.4"][0].native != hashlib.new(digest, shape.content).digest():
        raise CannotRead("the digest differs")
    ess = core.Sequence.load(attributes["1.2.840.113549.1.9.16.2.47"][0].dump())
    first = core.Sequence.load(core.Sequence.load(ess[0].dump())[0].dump())
    if first[0].native != hashlib.sha256(certificate.dump()).digest():
        raise CannotRead("the signing certificate is another")
    encoded = signer["signed_attrs"].untag().dump()
    members = core.SetOf.load(encoded, spec=cms.CMSAttribute)
    if [each.dump() for each in members] != sorted(each.dump() for each in members):
        raise CannotRead("the attributes are not sorted")
    key = x509.load_der_x509_certificate(certificate.dump()).public_key()
    signature = signer["signature"].native
    which = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}[digest]
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, encoded, padding.PKCS1v15(), which)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, encoded, ec.ECDSA(which))
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, encoded)
        else:
            raise CannotRead("a key of another kind")
    except InvalidSignature as error:
        raise CannotRead("the signature does not hold") from error


JUDGES = {"openssl": openssl, "gpgsm": gpgsm, "nss": nss, "python": python}


def must_read(judge, shape):
    """What a judge of Debian 12 is known to read: if it no longer does, we have changed."""
    modern = "25519" in shape.name or "carlos" in shape.name
    if judge == "python":
        return True
    if judge == "openssl":
        return not modern
    # gpgsm 2.2 and NSS 3.87: RSA with PKCS #1 v1.5 and CBC (OpenSSL's own AES-GCM and ECDH they do not read either).
    return not modern and (shape.signed or "v15-cbc" in shape.name or "bob.encrypt-cbc" in shape.name)


def shapes(scratch):
    done = run(["cargo", "test", "--quiet", "--test", "smime_shapes", "--manifest-path", ROOT / "Cargo.toml", "--",
                "--ignored", "--nocapture", "--exact", "write_shapes"], limit=BUILD_SECONDS)
    written = [line for line in done.decode().splitlines() if line.endswith("smime-shapes")]
    root = pathlib.Path(written[-1])
    return [Shape(each, scratch) for each in sorted(root.iterdir())]


def judged(judge, shape):
    """The word for the matrix, what is wrong, and why the judge does not read it."""
    try:
        found = JUDGES[judge](shape)
    except (CannotRead, subprocess.TimeoutExpired, OSError) as error:
        problem = f"{judge} must read {shape.name}: {error}" if must_read(judge, shape) else None
        return "-", problem, f"{judge}: {str(error).rsplit(' | ', 1)[-1]}"
    except Exception as error:  # noqa: BLE001: whatever it is, this judge has not read it
        return "-", f"{judge} fails at {shape.name}: {type(error).__name__}: {error}", None
    if found != shape.plain:
        return "DIFFERS", f"{judge} reads {shape.name} as something else: {found[:80]!r}", None
    return "reads", None, None


def matrix(scratch):
    """Prints who reads what; gives what is wrong."""
    problems, reasons = [], {}
    print(f"     {'shape':<34}" + "".join(f"{judge:>9}" for judge in JUDGES))
    for shape in shapes(scratch):
        words = []
        for judge in JUDGES:
            word, problem, reason = judged(judge, shape)
            words.append(word)
            if reason:
                reasons.setdefault(re.sub(r"\b[0-9A-F]{12,}\b|/\S+", "..", reason), []).append(shape.name)
            if problem:
                problems.append(problem)
        print(f"     {shape.name:<34}" + "".join(f"{word:>9}" for word in words), flush=True)
        if "reads" not in words:
            problems.append(f"nobody reads {shape.name}")
        # A changed octet at the end must never come out as the same: the judges are awake.
        tampered = bytearray(shape.der.read_bytes())
        tampered[-20] ^= 1
        shape.der.write_bytes(tampered)
        try:
            if python(shape) == shape.plain and (shape.signed or "gcm" in shape.name):
                problems.append(f"{shape.name} is read although it was changed")
        except Exception:  # noqa: BLE001, S110: refused in whatever way
            pass
    for reason, names in reasons.items():
        print(f"     {reason[:150]}: {', '.join(names)}")
    return problems


def checks(check, w, _binary):
    """The part `smime_matrix` of `checks.py`."""
    scratch = w.scratch / "smime_matrix"
    scratch.mkdir()

    def all_read():
        problems = matrix(scratch)
        return "; ".join(problems) if problems else None

    check("every S/MIME shape is read by others, and by none as something else", all_read)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="smime.") as directory:
        wrong = matrix(pathlib.Path(directory))
    for each in wrong:
        print("FAIL", each)
    sys.exit(1 if wrong else 0)
