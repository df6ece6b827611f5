"""Where certificates and their revocation are looked up: OpenLDAP's slapd and `openssl ocsp`.

Each is on loopback, with its files in a directory of the test's own. `python3 directory_servers.py DIRECTORY` tries both by hand, with ldapsearch and openssl.
"""

import base64
import http.server
import itertools
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

PASSWORD = "reader-canary-71c0"
READER = "cn=reader,dc=b,dc=test"
BASE = "dc=b,dc=test"


def free_port():
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(*argv, **more):
    """Runs a command; what it printed. Raises with its errors if it fails."""
    done = subprocess.run([str(word) for word in argv], capture_output=True, check=False,
                          stdin=subprocess.DEVNULL, timeout=60, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]} {argv[1]}: {done.stderr.decode(errors='replace')}")
    return done.stdout


class Process:
    """A server that is started once and ended by its process id."""

    def __init__(self, log):
        self.log = log
        self.process = None

    def start(self, argv, port):
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen([str(word) for word in argv], stdout=out, stderr=out,
                                            stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"{argv[0]} does not listen: {pathlib.Path(self.log).read_text()[-2000:]}")

    def stop(self):
        """Ends it, if it runs."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None


class Slapd:
    """OpenLDAP with people and their certificates, over ldaps:// and ldap:// with StartTLS.

    `certificate`, `key` and `ca` are PEM files; the certificate is for the name that is connected
    to. Without TLS nothing is answered but StartTLS. With `anonymous=False` a bind as READER with
    PASSWORD is needed."""

    SCHEMAS = ("core", "cosine", "inetorgperson")

    def __init__(self, directory, certificate, key, ca, anonymous=True):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(mode=0o700)
        self.ldap, self.ldaps = free_port(), free_port()
        self.config = self.directory / "slapd.conf"
        data = self.directory / "data"
        data.mkdir()
        include = "".join(f"include /etc/ldap/schema/{name}.schema\n" for name in self.SCHEMAS)
        reading = "by * read" if anonymous else "by users read by * none"
        self.config.write_text(f"""{include}
pidfile {self.directory}/pid
argsfile {self.directory}/args
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
TLSCACertificateFile {ca}
TLSProtocolMin 3.3
security tls=1
sizelimit 100
access to attrs=userPassword by anonymous auth by * none
access to * {reading}
database mdb
suffix "{BASE}"
rootdn "cn=root,{BASE}"
directory {data}
maxsize 16777216
index mail eq
""")
        self.config.chmod(0o600)
        self.server = Process(self.directory / "slapd.log")
        self.add(f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: b\no: B\n\n"
                 f"dn: {READER}\nobjectClass: person\ncn: reader\nsn: reader\n"
                 f"userPassword: {PASSWORD}\n")

    def add(self, ldif):
        """Adds entries while the server does not run."""
        run("/usr/sbin/slapadd", "-f", self.config, "-b", BASE, "-l", self.write("add.ldif", ldif))

    def add_person(self, mail, certificates=(), bundles=()):
        """Adds a person with certificates (DER) and PKCS #7 bundles (DER); before `start`. (slapd
        knows no `;binary` of userSMIMECertificate.)"""
        lines = [f"dn: uid={mail.replace('+', '-').split('@')[0]},{BASE}", "objectClass: inetOrgPerson",
                 f"uid: {mail.split('@')[0]}", f"cn: {mail}", "sn: person", f"mail: {mail}"]
        for name, values in (("userCertificate;binary", certificates),
                             ("userSMIMECertificate", bundles)):
            lines += [f"{name}:: {base64.b64encode(value).decode()}" for value in values]
        self.add("\n".join(lines) + "\n")

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path

    def start(self):
        urls = f"ldap://127.0.0.1:{self.ldap}/ ldaps://127.0.0.1:{self.ldaps}/"
        # -d keeps it in the foreground.
        self.server.start(["/usr/sbin/slapd", "-f", self.config, "-h", urls, "-d", "0"], self.ldaps)

    def stop(self):
        self.server.stop()


class WebServer:
    """A web server on loopback. What is at a path is octets, or a function of what was posted."""

    def __init__(self):
        self.documents, self.asked = {}, []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                owner.asked.append(f"{self.command} {self.path}")
                found = owner.documents.get(self.path)
                octets = found(body) if callable(found) else found
                self.send_response(404 if octets is None else 200)
                self.send_header("Content-Length", str(len(octets or b"")))
                if callable(found):
                    self.send_header("Content-Type", "application/ocsp-response")
                self.end_headers()
                self.wfile.write(octets or b"")

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def start(self):
        self.thread.start()

    def stop(self):
        if self.thread.is_alive():
            self.server.shutdown()
            self.thread.join()
        self.server.server_close()


class OcspResponder:
    """`openssl ocsp` for the certificates of one authority, behind a WebServer: by itself it would
    listen on every address. It reads the index anew for each request.

    `index` is the database of `openssl ca`; `Authority` below keeps one. Signs with `certificate`
    and `key`: the authority's own, or those of a delegate. `minutes` is how long answers hold."""

    def __init__(self, directory, index, ca, certificate, key, minutes=5):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(mode=0o700)
        self.argv = ["openssl", "ocsp", "-index", index, "-CA", ca, "-rsigner", certificate,
                     "-rkey", key, "-nmin", minutes, "-rmd", "sha256"]
        self.count = itertools.count()

    def answer(self, request):
        """The answer to a request, both DER."""
        number = next(self.count)
        asked, answered = (self.directory / f"{number}.{end}" for end in ("req", "resp"))
        asked.write_bytes(request)
        run(*self.argv, "-reqin", asked, "-respout", answered)
        return answered.read_bytes()


class Authority:
    """A certificate authority by `openssl ca`, with its index and its revocation list."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(mode=0o700)
        self.certificate, self.key = self.directory / "ca.pem", self.directory / "ca.key"
        self.index, self.config = self.directory / "index.txt", self.directory / "openssl.cnf"
        self.index.write_text("")
        (self.directory / "index.txt.attr").write_text("unique_subject = no\n")
        (self.directory / "serial").write_text("1001\n")
        (self.directory / "crlnumber").write_text("01\n")
        self.config.write_text(f"""[ca]
default_ca = here
[here]
dir = {self.directory}
database = {self.index}
new_certs_dir = {self.directory}
serial = {self.directory}/serial
crlnumber = {self.directory}/crlnumber
certificate = {self.certificate}
private_key = {self.key}
default_md = sha256
default_days = 30
default_crl_days = 1
policy = any
copy_extensions = none
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
""")
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", "/CN=Root of B", "-days", "30", "-config", self.config, "-extensions", "root",
            "-keyout", self.key, "-out", self.certificate)

    def issue(self, name, extensions, key_options=("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
        """Issues a certificate with these lines of extensions: the paths of certificate and key."""
        base = self.directory / name.replace("@", "-at-")
        certificate, key, request = (base.with_suffix(end) for end in (".pem", ".key", ".csr"))
        extra = base.with_suffix(".ext")
        extra.write_text("\n".join(extensions) + "\n")
        run("openssl", "req", "-new", "-newkey", *key_options, "-nodes", "-subj", f"/CN={name}",
            "-config", self.config, "-keyout", key, "-out", request)
        run("openssl", "ca", "-batch", "-notext", "-config", self.config, "-extfile", extra,
            "-in", request, "-out", certificate)
        return certificate, key

    def issue_mail(self, address, responder=None, crl=None, **more):
        """Issues a certificate to seal mail for `address` to."""
        lines = ["basicConstraints = CA:FALSE", "keyUsage = critical,keyAgreement,keyEncipherment",
                 "extendedKeyUsage = emailProtection", f"subjectAltName = email:{address}"]
        lines += [f"authorityInfoAccess = OCSP;URI:{responder}"] if responder else []
        lines += [f"crlDistributionPoints = URI:{crl}"] if crl else []
        return self.issue(address, lines, **more)

    def issue_server(self, name):
        """Issues a certificate for a server's name, good for 127.0.0.1 too."""
        return self.issue(name, ["extendedKeyUsage = serverAuth", f"subjectAltName = DNS:{name},IP:127.0.0.1"])

    def issue_responder(self):
        """Issues a certificate for a delegated OCSP responder."""
        return self.issue("responder", ["keyUsage = critical,digitalSignature", "extendedKeyUsage = OCSPSigning"])

    def revoke(self, certificate):
        run("openssl", "ca", "-config", self.config, "-revoke", certificate)

    def revocation_list(self):
        """The list as it is now: DER."""
        path = self.directory / "list.pem"
        run("openssl", "ca", "-config", self.config, "-gencrl", "-out", path)
        return run("openssl", "crl", "-in", path, "-outform", "DER")


def der(certificate):
    """A certificate's DER from its PEM file."""
    return run("openssl", "x509", "-in", certificate, "-outform", "DER")


def bundle(*certificates):
    """A PKCS #7 bundle of the certificates in PEM files: DER."""
    files = [word for path in certificates for word in ("-certfile", path)]
    return run("openssl", "crl2pkcs7", "-nocrl", *files, "-outform", "DER")


def try_by_hand(directory):
    """Both servers, asked by ldapsearch and openssl; raises where an answer is not right."""
    directory = pathlib.Path(directory)
    authority = Authority(directory / "ca")
    server, server_key = authority.issue_server("ldap.b.test")
    responder_certificate, responder_key = authority.issue_responder()
    responder = OcspResponder(directory / "ocsp", authority.index, authority.certificate,
                              responder_certificate, responder_key)
    web = WebServer()
    web.documents["/ocsp"] = responder.answer
    jo, _ = authority.issue_mail("jo@b.test", responder=web.url("/ocsp"), crl=web.url("/list.crl"))
    slapd = Slapd(directory / "slapd", server, server_key, authority.certificate, anonymous=False)
    slapd.add_person("jo@b.test", [der(jo)], [bundle(jo)])
    try:
        slapd.start()
        env = {**os.environ, "LDAPTLS_CACERT": str(authority.certificate)}
        bind = ["-x", "-D", READER, "-w", PASSWORD, "-b", BASE, "-LLL", "-o", "ldif-wrap=no"]
        encoded = base64.b64encode(der(jo)).decode()
        for options in (["-H", f"ldaps://127.0.0.1:{slapd.ldaps}"],
                        ["-ZZ", "-H", f"ldap://127.0.0.1:{slapd.ldap}"]):
            found = run("ldapsearch", *options, *bind, "(mail=JO@b.test)", "userCertificate;binary",
                        "userSMIMECertificate", env=env).decode()
            assert f"userCertificate;binary:: {encoded}" in found, found
            assert "userSMIMECertificate:: " in found, found
        plain = subprocess.run(["ldapsearch", "-H", f"ldap://127.0.0.1:{slapd.ldap}", *bind, "(mail=*)"],
                               capture_output=True, check=False, env=env, timeout=30)
        assert b"onfidentiality" in plain.stderr, plain.stderr
        web.start()
        ask = ["openssl", "ocsp", "-issuer", authority.certificate, "-CAfile", authority.certificate,
               "-cert", jo, "-url", web.url("/ocsp"), "-no_nonce"]
        assert b": good" in run(*ask)
        authority.revoke(jo)
        assert b": revoked" in run(*ask)
        assert len(authority.revocation_list()) > 100
    finally:
        slapd.stop()
        web.stop()
    print("both answer as they should")


if __name__ == "__main__":
    try_by_hand(sys.argv[1])
