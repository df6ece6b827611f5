"""S/MIME from end to end: certificates by openssl, a Postfix whose own certificate nobody vouches
for, and openssl and Python as the readers of what arrives there."""

import base64
import email
import email.policy
import json
import os
import re
import secrets
import socket
import subprocess

import directory_servers as servers
import world
from daemon import SENDER, Daemon, contains
from policy import PLAIN, message

CANARY = "Quetzalcoatlus northropi 7731"

SMIME = """
[policy]
unscannable = "off"

[[policy.rule]]
name = "sealed cases"
when = { subject = "(?i)sealed case" }
raise = "sealed"

[[policy.rule]]
name = "for a person"
when = { subject = "(?i)wait for me" }
hold = true

[[policy.domain]]
name = "clinic.test"
methods = ["smime", "tls"]

[smime]
directory = "%(folder)s"
anchors = ["%(ca)s", "%(other_ca)s"]

[[smime.identity]]
for = "billing@clinic.test"
certificate = "%(billing)s.crt"
key = "%(billing)s.key"

[[smime.domain]]
name = "good.test"
cipher = "aes-256-gcm"
oaep = true

[[smime.ldap]]
url = "ldap://127.0.0.1:%(ldap)d"
base = "%(base)s"
domains = ["selfsigned.test"]
ca_file = "%(other_ca)s"
bind_dn = "%(reader)s"
password = "%(password)s"

[[smime.ldap]]
url = "ldaps://127.0.0.1:%(hanging)d"
base = "o=hanging"
domains = ["hanging.test"]
ca_file = "%(ca)s"
timeout = "2s"
"""

KEYS = {
    "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:named_curve"],
    "p384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-pkeyopt", "ec_param_enc:named_curve"],
}


class People:
    """Mail certificates by openssl, and their keys."""

    def __init__(self, directory, authority):
        self.directory, self.authority = directory, authority
        directory.mkdir()

    def issue(self, name, addresses, kind="rsa", days=30, more=(), self_signed=False):
        """A certificate for `addresses`: the path without `.crt` and `.key`."""
        path = self.directory / name
        if not path.with_suffix(".key").exists():
            world.run("openssl", "genpkey", *KEYS[kind], "-out", f"{path}.key")
            os.chmod(f"{path}.key", 0o600)
        usage = "digitalSignature,keyEncipherment" if kind == "rsa" else "digitalSignature,keyAgreement"
        extensions = [f"subjectAltName={','.join('email:' + each for each in addresses)}", "basicConstraints=critical,CA:FALSE",
                      "extendedKeyUsage=emailProtection", f"keyUsage=critical,{usage}", *more]
        argv = [part for each in extensions for part in ("-addext", each)]
        subject = ["-new", "-key", f"{path}.key", "-subj", f"/CN={name}", *argv]
        if self_signed:
            world.run("openssl", "req", "-x509", *subject, "-days", str(days), "-out", f"{path}.crt")
            return path
        world.run("openssl", "req", *subject, "-out", f"{path}.csr")
        self.authority._openssl("ca", "-batch", "-notext", "-config", "ca.conf", "-cert", "ca.pem", "-keyfile", "ca.key",
                                "-in", f"{path}.csr", "-out", f"{path}.crt", "-days", str(days))
        return path


def opened(people, who, mail):
    """What `who` reads in a mail, by openssl: the MIME entity inside."""
    return subprocess.run(["openssl", "cms", "-decrypt", "-inform", "SMIME", "-recip", f"{people.directory / who}.crt",
                           "-inkey", f"{people.directory / who}.key"], input=mail, capture_output=True, timeout=60, check=True).stdout


def verified(authority, entity):
    """The signed part of an entity, as openssl verifies it: the signer must lead to the CA."""
    done = subprocess.run(["openssl", "cms", "-verify", "-inform", "SMIME", "-CAfile", str(authority.ca), "-purpose", "smimesign"],
                          input=entity, capture_output=True, timeout=60, check=False)
    if done.returncode != 0:
        raise AssertionError(f"openssl does not verify the signature: {done.stderr[-400:]!r}")
    return done.stdout


class Elsewhere:
    """Another organisation: its authority, its LDAP directory, its OCSP responder."""

    def __init__(self, directory, people):
        directory.mkdir()
        self.people = people
        self.authority = servers.Authority(directory / "ca")
        self.web = servers.WebServer()
        signer = self.authority.issue_responder()
        responder = servers.OcspResponder(directory / "ocsp", self.authority.index, self.authority.certificate, *signer)
        self.web.documents["/ocsp"] = responder.answer
        self.slapd = servers.Slapd(directory / "slapd", *self.authority.issue_server("ldap.elsewhere.test"),
                                   self.authority.certificate, anonymous=False)
        self.password = directory / "password"
        self.password.write_text(servers.PASSWORD)
        self.password.chmod(0o600)

    def person(self, name, mail, responder=None):
        """Somebody with a certificate in the directory: the path of the certificate."""
        certificate, key = self.authority.issue_mail(mail, responder=responder or self.web.url("/ocsp"))
        (self.people.directory / f"{name}.crt").write_bytes(certificate.read_bytes())
        (self.people.directory / f"{name}.key").write_bytes(key.read_bytes())
        self.slapd.add_person(mail, [servers.der(certificate)])
        return certificate

    def start(self):
        self.slapd.start()
        self.web.start()

    def stop(self):
        self.slapd.stop()
        self.web.stop()


def body_of(mail):
    return mail.split(b"\r\n\r\n", 1)[1]


def checks(check, w, binary):
    people = People(w.scratch / "people", w.authority)
    elsewhere = Elsewhere(w.scratch / "elsewhere", people)
    elsewhere.person("found", "found@selfsigned.test")
    elsewhere.authority.revoke(elsewhere.person("revoked", "revoked@selfsigned.test"))
    elsewhere.person("unheard", "unheard@selfsigned.test", responder=elsewhere.web.url("/nothing"))
    try:
        elsewhere.start()
        run_checks(check, w, binary, people, elsewhere)
    finally:
        elsewhere.stop()


def run_checks(check, w, binary, people, elsewhere):
    from __main__ import connect, equal, holds, queue_id, transact
    folder = w.scratch / "certs"
    folder.mkdir(mode=0o700)
    billing = people.issue("billing", [SENDER])
    (folder / "folder.pem").write_bytes(open(f"{people.issue('folder', ['folder@selfsigned.test'], 'p256')}.crt", "rb").read())
    hanging = socket.create_server(("127.0.0.1", 0))
    settings = {"folder": folder, "ca": w.authority.ca, "billing": billing, "hanging": hanging.getsockname()[1],
                "ldap": elsewhere.slapd.ldap, "base": servers.BASE, "reader": servers.READER,
                "password": elsewhere.password, "other_ca": elsewhere.authority.certificate}
    w.nsd.add("hanging MX 10 mx.selfsigned.test.\n")
    retry = 'schedule = ["3s"]\nexpire_after = "1h"\nwarn_after = "30m"'
    daemon = Daemon(binary, w.scratch / "smime", w, retry, SMIME % settings)
    w.daemons.append(daemon)
    check("check accepts the configuration", lambda: equal(daemon.command("check", check=False).returncode, 0, "exit code"))
    daemon.start()

    def send(content, recipients):
        session = connect(w, daemon, implicit=True)
        try:
            return queue_id(transact(session, SENDER, recipients, content))
        finally:
            session.close()

    def arrived(id_, limit=30):
        return world.wait_for(f"mail {id_}", limit, lambda: [mail for mail in w.postfix.mails() if id_.encode() in mail])[0]

    def letter(recipient, subject=f"Results of {CANARY}", text=f"Dear patient,\r\n{CANARY}\r\n", **how):
        return message(recipient, text, subject=subject, **how)

    def goes_sealed(who, recipient, content, id_, grade="any", cipher="aes-256-cbc"):
        """Sent sealed to `who`; what openssl finds inside."""
        qid = send(content, [recipient])
        delivered = daemon.await_event(qid, "delivered", limit=40)
        equal((delivered["method"], delivered["grade"], delivered["cipher"]), ("smime", grade, cipher), "method, grade, cipher")
        mail = arrived(id_)
        holds(CANARY.encode() not in mail, "the canary is in the mail as it arrived")
        outer = email.message_from_bytes(mail, policy=email.policy.SMTP)
        equal(outer["subject"], "[...]", "outer Subject")
        equal(outer.get_content_type(), "application/pkcs7-mime", "outer type")
        fingerprint = world.run("openssl", "x509", "-in", f"{people.directory / who}.crt", "-noout", "-fingerprint", "-sha256")
        equal(delivered["certificate"], fingerprint.decode().split("=")[1].strip().replace(":", "").lower(), "certificate in the log")
        signed = verified(w.authority, opened(people, who, mail))
        inner = email.message_from_bytes(signed, policy=email.policy.SMTP)
        equal(inner.get_param("hp"), "cipher", "hp parameter")
        equal(body_of(signed), body_of(content), "content")
        return inner

    def imported(name, *argv):
        return daemon.command("cert", "import", f"{people.directory / name}.crt", *argv)

    # Sealed, to every kind of key.
    for kind in KEYS:
        def each(kind=kind):
            address = f"{kind}@selfsigned.test"
            people.issue(kind, [address], kind)
            imported(kind)
            content, id_ = letter(address)
            inner = goes_sealed(kind, address, content, id_)
            equal(inner["subject"], f"Results of {CANARY}", "inner Subject")
            holds(SENDER in inner["from"], "inner From")

        check(f"a recipient with a {kind} certificate gets it sealed and signed, over TLS that is not enough alone", each)

    def from_folder():
        content, id_ = letter("folder@selfsigned.test")
        goes_sealed("folder", "folder@selfsigned.test", content, id_)

    check("a certificate in the folder of the configuration is used", from_folder)

    def preferred():
        people.issue("clinic", ["patient@clinic.test"])
        imported("clinic")
        content, id_ = letter("patient@clinic.test")
        goes_sealed("clinic", "patient@clinic.test", content, id_, grade="pkix")

    check("where S/MIME is preferred it is used though TLS is good", preferred)

    def attached():
        noise = os.urandom(2_500_000)
        content, id_ = letter("rsa@selfsigned.test", attached=(noise, "application/octet-stream", f"{CANARY}.bin"))
        inner = goes_sealed("rsa", "rsa@selfsigned.test", content, id_)
        parts = list(inner.iter_attachments())
        equal(parts[0].get_content(), noise, "the attachment")

    check("an attachment of 2.5 MB arrives octet by octet, and its name is not seen outside", attached)

    def each_alone():
        content, id_ = letter("rsa@selfsigned.test, p256@selfsigned.test")
        qid = send(content, ["rsa@selfsigned.test", "p256@selfsigned.test"])
        world.wait_for("two deliveries", 40, lambda: len(daemon.of(qid, "delivered")) == 2)
        mails = world.wait_for("two mails", 30, lambda: (lambda found: found if len(found) == 2 else None)(
            [mail for mail in w.postfix.mails() if id_.encode() in mail]))
        for mail in mails:
            der = base64.b64decode(body_of(mail))
            printed = subprocess.run(["openssl", "cms", "-cmsout", "-print", "-inform", "DER"], input=der, capture_output=True,
                                     timeout=60, check=True).stdout
            equal(printed.count(b"d.ktri:") + printed.count(b"d.kari:"), 1, "recipients of an envelope")

    check("two recipients get an envelope each, that names nobody else", each_alone)

    # What waits.
    def waits(recipient, text, content=None):
        qid = send(content or letter(recipient)[0], [recipient])
        deferred = daemon.await_event(qid, "deferred", limit=40)
        equal(deferred["reason"], "security", "reason")
        equal(daemon.of(qid, "delivered"), [], "deliveries")
        explained = daemon.command("queue", "explain", qid).stdout
        holds(re.search(text, explained), f"explain says {explained}")
        return qid

    def stranger():
        waits("stranger@selfsigned.test", "no certificate for this address")

    check("a recipient without a certificate waits", stranger)

    def looked_up():
        content, id_ = letter("found@selfsigned.test")
        goes_sealed("found", "found@selfsigned.test", content, id_)
        holds("POST /ocsp" in elsewhere.web.asked, f"the responder was asked {elsewhere.web.asked}")
        listed = daemon.command("cert", "lookup", "found@selfsigned.test").stdout
        holds("found@selfsigned.test" in listed, f"lookup says {listed}")

    check("a certificate is found in an LDAP directory, its chain and OCSP answer are good", looked_up)
    check("one that its authority has revoked is not used", lambda: waits("revoked@selfsigned.test", "was revoked") and True)
    check("one whose revocation nobody answers for is not used",
          lambda: waits("unheard@selfsigned.test", "could not be found out") and True)

    def hangs():
        waits("doctor@hanging.test", "did not answer")

    check("an LDAP server that says nothing costs its time, and is named as the reason", hangs)

    def refused():
        people.issue("spaced", ["rsa @selfsigned.test"])
        done = daemon.command("cert", "import", f"{people.directory / 'spaced'}.crt", check=False)
        equal(done.returncode, 1, f"exit code ({done.stdout}{done.stderr})")
        holds("no mail address" in done.stdout + done.stderr, f"says {done.stdout}{done.stderr}")

    check("a certificate with white space in its address is refused with its reason", refused)

    # Trust.
    def sealed_level():
        address = "rsa@selfsigned.test"
        content, id_ = letter(address, subject=f"Sealed case {CANARY}")
        qid = waits(address, "level", content)
        imported("rsa", "--pin")
        delivered = daemon.await_event(qid, "delivered", limit=40)
        equal((delivered["level"], delivered["method"]), ("sealed", "smime"), "level and method")
        arrived(id_)

    check("the level sealed waits for a pinned certificate, and goes once it is pinned", sealed_level)

    def approval():
        address = "rsa@selfsigned.test"
        people.issue("successor", [address], "p256")
        done = imported("successor")
        holds("approv" in done.stdout, f"import says {done.stdout}")
        content, id_ = letter(address)
        goes_sealed("rsa", address, content, id_)
        pending = json.loads(daemon.command("cert", "list", "--pending", "--json").stdout)
        fingerprint = re.search(r"[0-9a-f]{64}", json.dumps(pending)).group(0)
        daemon.command("cert", "approve", fingerprint, "--reason", "called the patient")
        content, id_ = letter(address)
        goes_sealed("successor", address, content, id_)

    check("another key for a pinned address waits for approval; then it is used", approval)

    def removed():
        address = "p384@selfsigned.test"
        content, _ = letter(address, subject=f"Wait for me {CANARY}")
        qid = send(content, [address])
        daemon.await_event(qid, "held")
        listed = daemon.command("cert", "list", "--json", address).stdout
        daemon.command("cert", "remove", re.search(r"[0-9a-f]{64}", listed).group(0), "--reason", "left the practice")
        daemon.command("queue", "release", qid, "--reason", "read")
        equal(daemon.await_event(qid, "deferred", limit=40)["reason"], "security", "reason")
        equal(daemon.of(qid, "delivered"), [], "deliveries")

    check("a certificate that was removed while the mail was held is not used", removed)

    # Sealed before it came.
    def envelope(plain, who):
        """An application's own, by openssl: for keys that agree it takes SHA-1 unless told otherwise."""
        kdf = ["-keyopt", "ecdh_kdf_md:sha256"] if who == "p256" else []
        return subprocess.run(["openssl", "cms", "-encrypt", "-aes256", "-outform", "DER", "-binary", "-recip",
                               f"{people.directory / who}.crt", *kdf], input=plain, capture_output=True, timeout=60, check=True).stdout

    def sealed_by_sender(address, who, subject):
        """A mail, its id, and what is inside it: the header's text and the structure are the sender's own."""
        inner = f"Content-Type: text/plain\r\n\r\n{CANARY}\r\n".encode()
        id_ = f"<{secrets.token_hex(12)}@clinic.test>"
        body = base64.encodebytes(envelope(inner, who)).replace(b"\n", b"\r\n")
        head = (f"From: <{SENDER}>\r\nTo: <{address}>\r\nSubject: {subject}\r\nMessage-ID: {id_}\r\nMIME-Version: 1.0\r\n"
                "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n"
                "Content-Transfer-Encoding: base64\r\n\r\n").encode()
        return head + body, id_, inner

    def delivered_at_any(content, id_, address):
        qid = send(content, [address])
        delivered = daemon.await_event(qid, "delivered", limit=40)
        equal((delivered["method"], delivered["grade"]), ("smime", "any"), "method and grade")
        return arrived(id_)

    def untouched():
        address = "p256@selfsigned.test"
        content, id_, inner = sealed_by_sender(address, "p256", "...")
        mail = delivered_at_any(content, id_, address)
        equal(body_of(mail), body_of(content), "the body")
        equal(opened(people, "p256", mail), inner, "what is inside")

    check("what its sender has sealed to this recipient, with a silent header, goes as it is", untouched)

    def speaking():
        address = "p256@selfsigned.test"
        content, id_, inner = sealed_by_sender(address, "p256", f"Results of {CANARY}")
        mail = delivered_at_any(content, id_, address)
        holds(CANARY.encode() not in mail, "the Subject is in the mail as it arrived")
        equal(email.message_from_bytes(mail, policy=email.policy.SMTP)["subject"], "[...]", "outer Subject")
        entity = opened(people, "p256", mail)
        equal(body_of(entity), body_of(content), "the sender's structure")
        equal(email.message_from_bytes(entity, policy=email.policy.SMTP)["subject"], f"Results of {CANARY}", "inner Subject")
        equal(opened(people, "p256", entity), inner, "what is inside the sender's structure")

    check("the same with a Subject that speaks is sealed once more, the sender's structure whole", speaking)

    def for_another():
        id_ = f"<{secrets.token_hex(12)}@clinic.test>"
        der = envelope(CANARY.encode(), "clinic")
        content = (f"From: <{SENDER}>\r\nTo: <p256@selfsigned.test>\r\nSubject: {CANARY}\r\nMessage-ID: {id_}\r\nMIME-Version: 1.0\r\n"
                   "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n"
                   "Content-Transfer-Encoding: base64\r\n\r\n").encode() + base64.encodebytes(der).replace(b"\n", b"\r\n")
        qid = send(content, ["p256@selfsigned.test"])
        daemon.await_event(qid, "delivered", limit=40)
        mail = arrived(id_)
        holds(CANARY.encode() not in mail, "the Subject is in the mail as it arrived")
        entity = opened(people, "p256", mail)
        equal(base64.b64decode(body_of(entity)), der, "what was sealed to somebody else")
        equal(email.message_from_bytes(entity, policy=email.policy.SMTP)["subject"], CANARY, "inner Subject")

    check("what is sealed to somebody else is content, and is sealed", for_another)

    def clear():
        equal(contains(daemon.directory, [CANARY.encode(), base64.b64encode(CANARY.encode())[:-2]]), [],
              "files with content in clear")

    check("no canary in data, logs or output", clear)

    def survives():
        daemon.kill()
        daemon.start()
        content, id_ = letter("p256@selfsigned.test")
        goes_sealed("p256", "p256@selfsigned.test", content, id_)

    check("imported certificates survive kill -9", survives)
    check("it drains and exits 0", lambda: equal(daemon.stop(), 0, "exit code"))
    hanging.close()
