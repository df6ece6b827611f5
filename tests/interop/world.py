"""The peers: a certificate authority, a DNS server, Postfix as MX, and the processes that run them.

Everything lives in one scratch directory and on loopback addresses. Every process is started and
ended here by its own id.
"""

import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import time

# One loopback address a peer; all listen on the one port that `[relay] port` names.
GOOD = "127.0.0.11"
PLAIN = "127.0.0.12"
EXPIRED = "127.0.0.13"
SELF_SIGNED = "127.0.0.14"
WRONG_NAME = "127.0.0.15"
REFUSES = "127.0.0.16"
BROKEN = "127.0.0.17"
INJECTS = "127.0.0.18"
SINK = "127.0.0.19"
PEERS = [GOOD, PLAIN, EXPIRED, SELF_SIGNED, WRONG_NAME, REFUSES, BROKEN, INJECTS, SINK]

ZONE = f"""
$ORIGIN test.
$TTL 60
@               SOA ns.test. hostmaster.test. 1 60 60 60 60
@               NS  ns.test.
ns              A   127.0.0.1
good            MX  10 mx.good.test.
mx.good         A   {GOOD}
clinic          MX  10 mx.good.test.
nostarttls      MX  10 mx.nostarttls.test.
mx.nostarttls   A   {PLAIN}
expired         MX  10 mx.expired.test.
mx.expired      A   {EXPIRED}
selfsigned      MX  10 mx.selfsigned.test.
mx.selfsigned   A   {SELF_SIGNED}
wrongname       MX  10 mx.wrongname.test.
mx.wrongname    A   {WRONG_NAME}
refuses         MX  10 mx.refuses.test.
mx.refuses      A   {REFUSES}
broken          MX  10 mx.broken.test.
mx.broken       A   {BROKEN}
injects         MX  10 mx.injects.test.
mx.injects      A   {INJECTS}
sink            MX  10 mx.sink.test.
mx.sink         A   {SINK}
; The preferred MX is not good enough, the second is.
second          MX  10 mx.nostarttls.test.
second          MX  20 mx.good.test.
; Takes no mail at all (RFC 7505).
nullmx          MX  0 .
"""


def run(*argv, **options):
    """Runs a command to its end; its output is shown only if it fails."""
    done = subprocess.run(
        argv, stdin=options.pop("stdin", subprocess.DEVNULL), capture_output=True, timeout=60, **options
    )
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]} ended with {done.returncode}: {done.stdout!r} {done.stderr!r}")
    return done.stdout


def wait_for(what, limit, condition):
    """Polls `condition` until it gives something true; says what was awaited when it does not."""
    end = time.monotonic() + limit
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise TimeoutError(f"no {what} within {limit} s")
        time.sleep(0.05)


def free_port(addresses):
    """A TCP and UDP port that is free on all of them, below the range of outgoing connections."""
    for _ in range(200):
        port = random.randrange(10000, 30000)
        sockets = []
        try:
            for address in addresses:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    sockets.append(socket.socket(socket.AF_INET, kind))
                    sockets[-1].bind((address, port))
            return port
        except OSError:
            continue
        finally:
            for each in sockets:
                each.close()
    raise RuntimeError("no free port")


def listening(address, port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


class Process:
    """A child with its output in a file."""

    def __init__(self, log, *argv, **options):
        self.log = pathlib.Path(log)
        with open(self.log, "ab") as output:
            self.child = subprocess.Popen(
                [str(each) for each in argv], stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options
            )

    @classmethod
    def of(cls, child):
        """A child that was started elsewhere."""
        process = cls.__new__(cls)
        process.log, process.child = None, child
        return process

    def alive(self):
        return self.child.poll() is None

    def stop(self, sig=signal.SIGTERM, limit=30):
        """Signals the child and gives its exit code; one that does not end is killed."""
        if self.alive():
            self.child.send_signal(sig)
        try:
            return self.child.wait(limit)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            return None


class Authority:
    """A test certificate authority, and what it and others sign."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()
        self.ca = directory / "ca.pem"
        self._key("ca")
        self._openssl("req", "-x509", "-new", "-key", "ca.key", "-out", "ca.pem", "-days", "30",
                      "-subj", "/CN=Interop test CA", "-addext", "basicConstraints=critical,CA:TRUE",
                      "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        (directory / "index.txt").touch()
        (directory / "ca.conf").write_text(
            "[ca]\ndefault_ca = default\n[default]\ndatabase = index.txt\nnew_certs_dir = .\n"
            "default_md = sha256\nunique_subject = no\npolicy = any\nrand_serial = yes\ncopy_extensions = copy\n"
            "[any]\ncommonName = optional\n"
        )

    def _openssl(self, *argv):
        run("openssl", *argv, cwd=self.directory)

    def _key(self, name, rsa=False):
        kind = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"] if rsa else [
            "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        self._openssl("genpkey", *kind, "-out", f"{name}.key")
        os.chmod(self.directory / f"{name}.key", 0o600)

    def pair(self, name, hosts, expired=False, self_signed=False, rsa=False):
        """A certificate for `hosts` and its key: paths."""
        self._key(name, rsa)
        names = ",".join(("IP:" if host[0].isdigit() else "DNS:") + host for host in hosts)
        extensions = ["-addext", f"subjectAltName={names}", "-addext", "extendedKeyUsage=serverAuth",
                      "-addext", "basicConstraints=critical,CA:FALSE"]
        subject = ["-subj", f"/CN={hosts[0]}", "-key", f"{name}.key"]
        if self_signed:
            self._openssl("req", "-x509", "-new", *subject, "-out", f"{name}.crt", "-days", "30", *extensions)
        else:
            dates = ["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"] if expired else ["-days", "30"]
            self._openssl("req", "-new", *subject, "-out", f"{name}.csr", *extensions)
            self._openssl("ca", "-batch", "-notext", "-config", "ca.conf", "-cert", "ca.pem", "-keyfile", "ca.key",
                          "-in", f"{name}.csr", "-out", f"{name}.crt", *dates)
        return self.directory / f"{name}.crt", self.directory / f"{name}.key"


class Nsd:
    """An authoritative DNS server with the zone `test.`"""

    def __init__(self, directory):
        directory.mkdir()
        self.directory = directory
        self.port = free_port(["127.0.0.1"])
        self.zone = directory / "test.zone"
        self.zone.write_text(ZONE)
        self.conf = directory / "nsd.conf"
        self.conf.write_text(
            f'server:\n  ip-address: 127.0.0.1@{self.port}\n  username: ""\n  chroot: ""\n'
            f'  zonesdir: "{directory}"\n  database: ""\n  pidfile: "{directory}/nsd.pid"\n'
            f'  logfile: "{directory}/nsd.log"\n  xfrdfile: "{directory}/xfrd.state"\n'
            f'  zonelistfile: "{directory}/zone.list"\n  xfrdir: "{directory}"\n'
            f"  server-count: 1\n  verbosity: 1\nremote-control:\n  control-enable: no\n"
            f'zone:\n  name: "test."\n  zonefile: "test.zone"\n'
        )
        self.process = None

    def start(self):
        run("nsd-checkconf", str(self.conf))
        self.process = Process(self.directory / "output.log", "nsd", "-d", "-c", self.conf)
        wait_for("DNS server", 10, lambda: listening("127.0.0.1", self.port))

    def add(self, records):
        """Adds records to the zone and makes the server read it again."""
        with open(self.zone, "a", encoding="ascii") as zone:
            zone.write(records)
        self.stop()
        self.start()

    def stop(self):
        if self.process:
            self.process.stop()


class Postfix:
    """A Postfix of its own, beside any that the system runs: one good MX and four bad ones."""

    def __init__(self, directory, authority, port):
        self.directory = directory
        self.port = port
        self.config = directory / "etc"
        self.log = directory / "mail.log"
        self.box = directory / "mail" / "box"
        for each in (self.config, directory / "queue", directory / "data", self.box):
            each.mkdir(parents=True)
        for path, owner in ((directory / "data", "postfix"), (self.box.parent, "nobody"), (self.box, "nobody")):
            shutil.chown(path, owner, "nogroup" if owner == "nobody" else None)
        good = authority.pair("good", ["mx.good.test"], rsa=True)
        smtpd = {
            GOOD: ("good", good, "-o smtpd_tls_security_level=encrypt"),
            PLAIN: ("nostarttls", None, "-v -o smtpd_tls_security_level=none"),
            EXPIRED: ("expired", authority.pair("expired", ["mx.expired.test"], expired=True), "-v"),
            SELF_SIGNED: ("selfsigned", authority.pair("selfsigned", ["mx.selfsigned.test"], self_signed=True), "-v"),
            WRONG_NAME: ("wrongname", authority.pair("wrongname", ["mx.another.test"]), "-v"),
        }
        (self.config / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/data
maillog_file = {self.log}
maillog_file_prefixes = {directory}
myhostname = mx.good.test
mydestination =
mynetworks =
inet_protocols = ipv4
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_client_event_limit_exceptions = 127.0.0.0/8
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = check_recipient_access inline:{{ {{nobody@good.test = 550 5.1.1 No such user here}}, {{nobody@selfsigned.test = 550 5.1.1 No such user here}} }}
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
message_size_limit = 104857600
mailbox_size_limit = 0
virtual_mailbox_limit = 0
virtual_mailbox_domains = static:all
virtual_mailbox_base = {self.box.parent}
virtual_mailbox_maps = static:box/
virtual_minimum_uid = 100
virtual_uid_maps = static:{shutil._get_uid("nobody")}
virtual_gid_maps = static:{shutil._get_gid("nogroup")}
# What arrives is kept as it came: a Bcc that sealpost leaves in must be seen here.
message_drop_headers =
local_header_rewrite_clients =
biff = no
""")
        services = "".join(
            f"{address}:{port} inet n - n - - smtpd {options} -o syslog_name=postfix/{name}"
            + (f" -o smtpd_tls_cert_file={pair[0]} -o smtpd_tls_key_file={pair[1]}\n" if pair else "\n")
            for address, (name, pair, options) in smtpd.items()
        )
        (self.config / "master.cf").write_text(services + """
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
error     unix  - - n - - error
retry     unix  - - n - - error
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
postlog   unix-dgram n - n - 1 postlogd
""")

    def start(self):
        run("postfix", "-c", str(self.config), "start")
        wait_for("Postfix", 20, lambda: all(
            listening(each, self.port) for each in (GOOD, PLAIN, EXPIRED, SELF_SIGNED, WRONG_NAME)))

    def stop(self):
        if (self.directory / "queue" / "pid" / "master.pid").exists():
            subprocess.run(["postfix", "-c", str(self.config), "stop"], stdin=subprocess.DEVNULL,
                           capture_output=True, check=False, timeout=60)

    def mails(self):
        """What was delivered, as it lay on the wire: bytes with CRLF."""
        found = []
        for each in sorted((self.box / "new").glob("*")) if (self.box / "new").exists() else []:
            found.append(each.read_bytes().replace(b"\n", b"\r\n"))
        return found

    def commands(self, name):
        """The SMTP commands that the verbose MX `name` was sent, TLS taken off."""
        found = []
        mark = f"postfix/{name}/smtpd["
        for line in self.log.read_text(errors="replace").splitlines() if self.log.exists() else []:
            if mark in line and ": < " in line:
                found.append(line.split(": < ", 1)[1].split(": ", 1)[-1])
        return found
