"""The portal from end to end without a browser: notices through Postfix, pages over HTTPS by Python
and curl, TLS by openssl, and the daemon killed while people read."""

import base64
import io
import json
import os
import random
import resource
import secrets
import signal
import socket
import ssl
import subprocess
import threading
import time
import zipfile

import world
from daemon import SENDER, Daemon, contains, tail
from policy import message
from visitor import Mailbox, Portal, Visitor

HOST = "secure.clinic.test"
CANARY = "Pterodactylus antiquus 4417"
SUBJECT = "Your results of Monday"
SECRET = "seven green herons"

RETRY = 'schedule = ["1s", "2s"]\nexpire_after = "1h"\nwarn_after = "30m"'

CONFIG = """
[policy]
unscannable = "off"

[[policy.rule]]
name = "results"
when = { subject = "(?i)confidential case" }
raise = "confidential"

[[policy.rule]]
name = "notes"
when = { subject = "(?i)restricted case" }
raise = "restricted"

[portal]
master_key = "%(directory)s/portal.key"
address = "127.0.0.1:%(port)d"
url = "https://%(host)s:%(port)d"
name = "Clinic of Test"
certificate = "%(certificate)s"
private_key = "%(key)s"
access_log = "%(directory)s/access.jsonl"
imprint = "Clinic of Test, 1 Main Street"
"""


class Deployment:
    """A sealpost with a portal, and the people who use it."""

    def __init__(self, w, binary, name="portal", extra=""):
        port = world.free_port(["127.0.0.1"])
        certificate, key = w.pair(f"portal-{name}", [HOST])
        directory = w.scratch / name
        self.w = w
        self.config = CONFIG % {"directory": directory, "port": port, "host": HOST, "certificate": certificate,
                                "key": key}
        self.daemon = Daemon(binary, directory, w, RETRY, self.config + extra)
        self.daemon.command("key", "generate", directory / "portal.key", config=False)
        w.daemons.append(self.daemon)
        self.portal = Portal(HOST, port, w.authority.ca)
        self.mailbox = Mailbox(w.postfix)
        self.visitors = 0

    def start(self):
        self.daemon.start()
        world.wait_for("portal", 30, lambda: world.listening("127.0.0.1", self.portal.port))

    def visitor(self, **how):
        """Somebody new, from a network of their own: the checks are not to use up one another's rates."""
        self.visitors += 1
        how.setdefault("source", (f"127.{1 + self.visitors // 250}.{self.visitors % 250}.1", 0))
        return Visitor(self.portal, **how)

    def send(self, recipient, text=None, subject=SUBJECT, fields=(), attached=None, sender=SENDER):
        """Submits a message: its queue id and Message-ID."""
        from __main__ import connect, queue_id, transact
        text = text or f"Dear patient, the finding is {CANARY}.\r\n"
        content, message_id = message(recipient, text, attached, subject, sender, fields)
        session = connect(self.w, self.daemon, implicit=True)
        reply = transact(session, sender, [recipient], content)
        session.quit()
        return queue_id(reply), message_id

    def leave(self, recipient, known=(), **how):
        """A message that waits in the portal: queue id and reference."""
        queue, _ = self.send(recipient, **how)
        self.daemon.await_event(queue, "deposited", limit=30)
        return queue, self.mailbox.reference(recipient, known)

    def pickup(self, *argv):
        return json.loads(self.daemon.command("pickup", *argv, "--json").stdout)

    def state(self, name):
        shown = self.pickup("show", name)
        found = shown if isinstance(shown, list) else shown.get("items", shown)
        return found[0] if isinstance(found, list) else found

    def curl(self, *argv, body=None):
        """curl at the portal: exit code, status, header text, body."""
        done = subprocess.run(
            ["curl", "--silent", "--show-error", "--max-time", "60", "--cacert", str(self.w.authority.ca), "--include",
             "--resolve", f"{HOST}:{self.portal.port}:127.0.0.1", *map(str, argv)],
            input=body, capture_output=True, timeout=90, check=False)
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100"):
            head, _, rest = rest.partition(b"\r\n\r\n")
        status = int(head.split()[1]) if head.startswith(b"HTTP/") else 0
        return done.returncode, status, head.decode("latin-1").lower(), rest


def letters(check, d):
    from __main__ import equal, holds

    def deposited():
        queue, reference = d.leave("kim@selfsigned.test")
        events = [event["event"] for event in d.daemon.of(queue, "decided", "notified", "deposited")]
        holds(events[-2:] == ["notified", "deposited"], f"events are {events}")
        event = d.daemon.of(queue, "deposited")[0]
        equal((event["method"], event["level"]), ("portal", "protected"), "method and level")
        equal(d.daemon.of(queue, "notified")[0]["grade"], "any", "grade of the notice")
        mail = d.mailbox.mails("kim@selfsigned.test")[-1]
        raw = mail.as_bytes()
        holds(CANARY.encode() not in raw and SUBJECT.encode() not in raw, "the notice carries content")
        holds(base64.b64encode(CANARY.encode())[:16] not in raw, "the notice carries content, encoded")
        holds(mail["From"].addresses[0].domain == "clinic.test", f"From is {mail['From']}")
        holds(f"{d.portal.url}/m/{reference}" in d.mailbox.text(mail), "the notice has no link")
        equal(mail["Auto-Submitted"], "auto-generated", "Auto-Submitted")
        return True

    def read():
        known = [d.mailbox.reference("kim@selfsigned.test")]
        visitor = d.visitor()
        answer = visitor.sign_in(known[0], d.mailbox, "kim@selfsigned.test")
        if CANARY not in answer.page.text():
            answer = visitor.read(known[0])
        holds(CANARY in answer.page.text(), f"{answer.status} {answer.path}: {answer.page.text()[:600]}")
        holds(SUBJECT in answer.page.text(), "the subject is not shown")
        opened = world.wait_for("opened", 10, lambda: [event for event in d.daemon.events() if event["event"] == "opened"])
        equal(opened[0]["recipient"], "kim@selfsigned.test", "who opened")
        equal(opened[0]["proofs"], ["mailbox"], "proofs")
        equal(d.state(known[0])["state"], "opened", "state")
        return True

    def languages():
        for language, word in (("de", "Nachricht"), ("es", "mensaje"), ("fr", "message"), ("zh", "邮件")):
            who = f"{language}@selfsigned.test"
            d.leave(who, fields=[f"X-Sealpost-Language: {language}"])
            mail = d.mailbox.mails(who)[-1]
            equal(mail["Content-Language"], language, "language of the notice")
            text = d.mailbox.text(mail)
            holds(word in text or language == "zh", f"{language}: {text[:200]}")
        return True

    def failed_notice():
        queue, message_id = d.send("nobody@selfsigned.test")
        d.daemon.await_event(queue, "bounced")
        world.wait_for("withdrawal", 20, lambda: d.state(queue)["state"] == "withdrawn")
        def told():
            return [mail for mail in d.mailbox.mails(SENDER) if message_id in mail.as_string()]
        holds(CANARY not in world.wait_for("DSN", 30, told)[0].as_string(), "the DSN carries content")
        return True

    check("a message to a domain without a proper certificate is deposited, its notice tells nothing", deposited)
    check("the notice's link, a code by mail, and the message is read", read)
    check("notices in five languages", languages)
    check("a notice that fails for good takes the message back and bounces", failed_notice)


def factors(check, d):
    from __main__ import equal, holds

    def password_form(answer):
        return next(form for form in answer.page.forms
                    if any(field["type"] == "password" for field in form["fields"]))

    def confidential():
        who, password = "conf@selfsigned.test", "a long walk by the sea"
        _, reference = d.leave(who, subject="Confidential case")
        visitor = d.visitor()
        answer = visitor.sign_in(reference, d.mailbox, who)
        if not any(field["type"] == "password" for form in answer.page.forms for field in form["fields"]):
            answer = visitor.read(reference)
        holds(CANARY not in answer.body.decode(), "a mailbox code alone opened it")
        answer = visitor.submit(password_form(answer), answer.path, password=password)
        if CANARY not in answer.page.text():
            answer = visitor.read(reference)
        holds(CANARY in answer.page.text(), f"{answer.path}: {answer.page.text()[:500]}")
        return True

    def restricted():
        queue, _ = d.send("rest@selfsigned.test", subject="Restricted case")
        event = d.daemon.await_event(queue, "deferred")
        equal(event["reason"], "security", "reason")
        holds(not d.mailbox.mails("rest@selfsigned.test"), "something was sent")
        return True

    def secret():
        who = "sam@nostarttls.test"
        queue, _ = d.send(who)
        equal(d.daemon.await_event(queue, "deferred")["reason"], "security", "reason without a secret")
        holds(not d.mailbox.mails(who), "something was sent")
        queue, reference = d.leave(who, fields=[f"X-Sealpost-Secret: {SECRET}"])
        equal(d.daemon.of(queue, "notified")[0]["grade"], "none", "grade of the notice")
        holds(all(SECRET not in mail.as_string() for mail in d.mailbox.mails(who)), "the secret was mailed")
        visitor = d.visitor()
        answer = visitor.ask_code(reference)
        for _ in range(4):
            form = next((form for form in answer.page.forms if "secret" in form["action"] or any(
                "secret" in (field["name"] or "") for field in form["fields"])), None)
            if form:
                break
            link = next((link for link in answer.page.links if "secret" in link), None)
            holds(link, f"no way to the secret on {answer.path}: {answer.page.text()[:400]}")
            answer = visitor.get(link)
        field = next(field["name"] for field in form["fields"] if field["type"] in ("password", "text"))
        wrong = visitor.submit(form, answer.path, **{field: "seven red herons"})
        holds(CANARY not in wrong.body.decode(), "a wrong secret opened it")
        answer = visitor.submit(form, answer.path, **{field: SECRET})
        if CANARY not in answer.page.text():
            answer = visitor.read(reference)
        holds(CANARY in answer.page.text(), f"{answer.path}: {answer.page.text()[:500]}")
        return True

    check("confidential: a password is set on the first visit before anything is shown", confidential)
    check("restricted, and nothing known that does not travel by the mailbox: it waits", restricted)
    check("the sender's secret opens what no mailed code could", secret)


def sender(check, d):
    from __main__ import equal, holds

    def reply():
        who = "rita@selfsigned.test"
        _, reference = d.leave(who)
        visitor = d.visitor()
        answer = visitor.sign_in(reference, d.mailbox, who)
        answer = visitor.get(next(link for link in visitor.read(reference).page.links if link.endswith("/reply")))
        form = next(form for form in answer.page.forms if any(field["type"] == "textarea" for field in form["fields"]))
        files = [("scan.txt", "text/plain", b"the scan that you asked for")]
        answer = visitor.submit(form, answer.path, textarea="Thank you, see you on Friday.", files=files)
        holds(answer.status == 200, f"{answer.status}: {answer.page.text()[:400]}")
        def arrived():
            return [mail for mail in d.mailbox.mails(SENDER) if "see you on Friday" in mail.as_string()]
        mail = world.wait_for("reply", 30, arrived)[0]
        holds(str(mail["Subject"]).startswith("Re: ") and SUBJECT in str(mail["Subject"]), f"Subject {mail['Subject']}")
        equal(mail["Reply-To"].addresses[0].addr_spec, who, "Reply-To")
        equal(mail["From"].addresses[0].domain, "clinic.test", "domain of From")
        holds(any(part.get_filename() == "scan.txt" for part in mail.iter_attachments()), "no attachment")
        world.wait_for("replied", 10, lambda: [event for event in d.daemon.events() if event["event"] == "replied"])
        return True

    def retract():
        who = "tara@selfsigned.test"
        _, reference = d.leave(who)
        visitor = d.visitor()
        visitor.sign_in(reference, d.mailbox, who)
        _, second = d.leave(who, known=[reference])
        d.daemon.command("pickup", "retract", second, "--reason", "wrong patient")
        shown = d.state(second)
        equal((shown["state"], shown["opened_before_end"]), ("retracted", False), "state and proof")
        answer = visitor.read(second)
        holds(CANARY not in answer.body.decode(), "it can be read")
        world.wait_for("retracted", 10, lambda: [event for event in d.daemon.events() if event["event"] == "retracted"])
        return True

    def extend():
        _, reference = d.leave("ext@selfsigned.test")
        before = d.state(reference)["expires"]
        d.daemon.command("pickup", "extend", reference, "--for", "60d", "--reason", "on holiday")
        holds(str(d.state(reference)["expires"]) > str(before), "the expiry did not move")
        return True

    def listed():
        entries = d.pickup("list", "--recipient", "tara@selfsigned.test")
        entries = entries["items"] if isinstance(entries, dict) else entries
        equal(sorted(entry["state"] for entry in entries)[-1:], ["retracted"], "states")
        printed = d.daemon.command("pickup", "list").stdout
        holds("tara@selfsigned.test" in printed and CANARY not in printed and SUBJECT not in printed, "the table")
        return True

    check("a reply with an attachment arrives at the sender", reply)
    check("retract: gone at once, with proof that it was never opened", retract)
    check("extend", extend)
    check("pickup list", listed)


def malware(check, w, binary):
    """Files of replies before a real clamd, which knows one signature: ours."""
    from __main__ import equal, holds

    marker = b"sealpost interop: this counts as malware"
    folder = w.scratch / "clamd"
    (folder / "signatures").mkdir(parents=True)
    (folder / "signatures" / "own.ndb").write_text(f"Interop.Marker:0:*:{marker.hex()}\n")
    socket_path = folder / "clamd.socket"
    (folder / "clamd.conf").write_text(
        f"LocalSocket {socket_path}\nDatabaseDirectory {folder / 'signatures'}\nForeground yes\nUser root\n")
    d = Deployment(w, binary, "malware", f'clamd = "unix:{socket_path}"\n')
    d.start()
    who = "mal@selfsigned.test"
    state = {}

    def reply(words, files):
        visitor, path = state["visitor"], state["path"]
        answer = visitor.get(path)
        form = next(form for form in answer.page.forms if any(field["type"] == "textarea" for field in form["fields"]))
        return visitor.submit(form, answer.path, textarea=words, files=files)

    def found():
        state["clamd"] = world.Process(folder / "clamd.log", "clamd", "-c", folder / "clamd.conf")
        w.processes.append(state["clamd"])
        world.wait_for("clamd", 60, socket_path.exists)
        _, reference = d.leave(who)
        visitor = state["visitor"] = d.visitor()
        visitor.sign_in(reference, d.mailbox, who)
        state["path"] = next(link for link in visitor.read(reference).page.links if link.endswith("/reply"))
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inner.txt", b"some words, and then " + marker)
        for name, kind, octets in [("a.txt", "text/plain", b"x" * 70_000 + marker), ("a.zip", "application/zip", packed.getvalue())]:
            answer = reply("These words are not to be typed again.", [(name, kind, octets)])
            equal(answer.status, 422, f"status for {name}")
            holds("These words are not to be typed again." in answer.body.decode(), "the words are gone")
        sent = reply("All is well.", [("fine.txt", "text/plain", b"nothing odd in here")])
        equal(sent.status, 200, "status of a clean file")
        def arrived():
            return [mail for mail in d.mailbox.mails(SENDER) if "All is well." in mail.as_string()]
        mail = world.wait_for("reply", 30, arrived)[0]
        equal([part.get_filename() for part in mail.iter_attachments()], ["fine.txt"], "files of the reply")
        holds(not any("typed again" in mail.as_string() for mail in d.mailbox.mails(SENDER)), "a refused reply arrived")

    def hangs():
        # Stopped, it takes the connection and says nothing.
        state["clamd"].child.send_signal(signal.SIGSTOP)
        try:
            answer = reply("Words beside a file that nobody looks at.", [("fine.txt", "text/plain", b"nothing odd")])
        finally:
            state["clamd"].child.send_signal(signal.SIGCONT)
        equal(answer.status, 503, "status while clamd hangs")
        holds("Words beside a file that nobody looks at." in answer.body.decode(), "the words are gone")

    def away():
        state["clamd"].stop()
        answer = reply("Words beside a file that nobody can look at.", [("fine.txt", "text/plain", b"nothing odd")])
        equal(answer.status, 503, "status without clamd")
        holds("Words beside a file that nobody can look at." in answer.body.decode(), "the words are gone")
        equal(reply("Words alone need no scanner.", []).status, 200, "status without files")

    check("clamd finds what it knows in a file and in an archive; what is clean arrives", found)
    check("clamd that hangs: no file goes on, the words are kept", hangs)
    check("clamd that is away: the same, and words alone go", away)


def http(check, d):
    from __main__ import equal, holds
    url = d.portal.url

    def headers():
        for path in ("/", "/m/0123456789ABCDEF", "/nothing"):
            for version in ("--http1.1", "--http2"):
                code, status, head, body = d.curl(version, url + path)
                equal(code, 0, f"curl at {path}")
                holds(status in (200, 404), f"{path}: {status}")
                for name, part in (("strict-transport-security", "max-age="), ("content-security-policy", "default-src 'none'"),
                                   ("content-security-policy", "frame-ancestors 'none'"), ("x-content-type-options", "nosniff"),
                                   ("referrer-policy", ""), ("cache-control", "no-store"), ("permissions-policy", ""),
                                   ("cross-origin-opener-policy", "same-origin")):
                    line = next((line for line in head.split("\r\n") if line.startswith(name + ":")), "")
                    holds(line and part in line, f"{path} {version}: {name} is {line!r}")
                for never in ("unsafe-inline", "unsafe-eval", "server: "):
                    holds(never not in head, f"{never} in {head}")
                holds(b"<script>" not in body and b"style=" not in body and b"http://" not in body, "inline or remote parts")
                holds(len(body) < 50_000, f"{len(body)} octets")
        return True

    def tls():
        for version in ("-tls1", "-tls1_1"):
            done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{d.portal.port}", "-servername", HOST, version,
                                   "-cipher", "ALL:@SECLEVEL=0"], stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
            holds(b"Cipher is (NONE)" in done.stdout or done.returncode != 0, f"{version} was accepted")
        for version, alpn in (("-tls1_2", "http/1.1"), ("-tls1_3", "h2")):
            done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{d.portal.port}", "-servername", HOST, version,
                                   "-alpn", alpn, "-CAfile", str(d.w.authority.ca), "-verify_return_error"],
                                  stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
            holds(b"Verify return code: 0" in done.stdout, f"{version}: {done.stdout[-300:]}")
            holds(f"ALPN protocol: {alpn}".encode() in done.stdout, f"{version}: no {alpn}")
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{d.portal.port}", "-servername", HOST, "-tls1_2",
                               "-cipher", "AES128-SHA:AES256-GCM-SHA384:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA"],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
        holds(b"Cipher is (NONE)" in done.stdout or done.returncode != 0, "a weak suite was accepted")
        return True

    def refused():
        large = d.daemon.directory / "large.header"
        large.write_text("X-Large: " + "a" * 60_000 + "\n")
        cases = [
            (["-H", "Host: evil.test", url + "/"], (400, 421)),
            (["-X", "PUT", url + "/"], (405,)),
            (["-X", "TRACE", url + "/"], (405,)),
            (["-X", "DELETE", url + "/m/0123456789ABCDEF"], (405, 404)),
            (["--path-as-is", url + "/../../etc/passwd"], (400, 404)),
            (["--path-as-is", url + "/static/%2e%2e/%2e%2e/etc/passwd"], (400, 404)),
            (["--path-as-is", url + "/m/%00"], (400, 404)),
            ([url + "/" + "a" * 20000], (400, 404, 414, 431)),
            (["-H", f"@{large}", url + "/"], (400, 431)),
            (["--data", "x=1", "-H", "Origin: https://evil.test", url + "/m/0123456789ABCDEF"], (403,)),
            (["--data", "x=1", "-H", "Sec-Fetch-Site: cross-site", url + "/m/0123456789ABCDEF"], (403,)),
            (["--data", "x=1", url + "/m/0123456789ABCDEF"], (400, 403)),
            (["--data", "{}", "-H", "Content-Type: application/json", "-H", f"Origin: {url}", url + "/m/0123456789ABCDEF"], (400, 403, 415)),
        ]
        wrong = []
        for argv, wanted in cases:
            for version in ("--http1.1", "--http2"):
                code, status, _, _ = d.curl(version, *argv)
                if status not in wanted and not (code != 0 and 431 in wanted):
                    wrong.append((argv[-2:], version, code, status))
        return wrong or True

    def oversize():
        for version in ("--http1.1", "--http2"):
            code, status, _, body = d.curl(version, "-H", f"Origin: {url}", "-H", "Content-Type: application/x-www-form-urlencoded",
                                           "-H", "Expect:", "--data-binary", "@-", url + "/m/0123456789ABCDEF", body=b"a=" + b"x" * 3_000_000)
            equal((code, status), (0, 413), f"curl exit and status with {version}")
            holds(body, "413 has no page")
        return True

    def slow():
        raw = d.portal.connect()
        raw.sendall(b"GET / HTTP/1.1\r\nHost: ")
        raw.settimeout(25)
        started = time.monotonic()
        try:
            answer = raw.recv(1024)
        except ssl.SSLError:
            answer = b""
        took = time.monotonic() - started
        raw.close()
        holds(took < 20 and (not answer or b" 408 " in answer), f"{took:.0f} s, {answer[:40]!r}")
        return True

    def plain():
        raw = socket.create_connection(("127.0.0.1", d.portal.port), timeout=10)
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        data = raw.recv(4096)
        raw.close()
        holds(b"200" not in data, "it speaks without TLS")
        return True

    def alive():
        for path in ("/livez", "/readyz"):
            equal(d.curl(url + path)[1], 200, path)
        return True

    check("every answer has its security headers, with HTTP/1.1 and 2", headers)
    check("TLS 1.2 and 1.3 and nothing weaker, by openssl", tls)
    check("wrong hosts, methods, paths, origins and types are refused", refused)
    check("what is too large gets a clean 413", oversize)
    check("a client that sends its header slowly is let go", slow)
    check("no answer without TLS", plain)
    check("/livez and /readyz", alive)


def strangers(check, d):
    from __main__ import equal, holds

    def unknown_looks_like_known():
        _, reference = d.leave("uma@selfsigned.test")
        known, unknown = d.visitor(), d.visitor()
        one = known.get(f"/m/{reference}")
        other = unknown.get("/m/7ZZZZZZZZZZZZZZ0")
        equal((one.status, len(one.body)), (other.status, len(other.body)), "status and size of the page")
        seen = d.mailbox.codes("uma@selfsigned.test")
        one, other = known.ask_code(reference), unknown.ask_code("7ZZZZZZZZZZZZZZ0")
        equal((one.status, len(one.body)), (other.status, len(other.body)), "status and size behind the button")
        d.mailbox.next_code("uma@selfsigned.test", seen)
        return True

    def takes_as_long():
        # In turn, so that whatever else this machine does falls on both; all before any throttle.
        who = [f"t{number}@selfsigned.test" for number in range(20)]
        references = [d.leave(each)[1] for each in who]
        known, unknown = [], []
        for number, reference in enumerate(references):
            for taken, path in ((known, f"/m/{reference}"), (unknown, f"/m/8{number:02d}ZZZZZZZZZZZZZ")):
                visitor = d.visitor()
                form = visitor.get(path).page.form(path)
                started = time.perf_counter()
                visitor.submit(form, path)
                taken.append(time.perf_counter() - started)
        apart = abs(sorted(known)[10] - sorted(unknown)[10])
        holds(apart < 0.02, f"medians are {apart * 1000:.1f} ms apart")
        return True

    def wrong_codes():
        who = "wes@selfsigned.test"
        _, reference = d.leave(who)
        visitor = d.visitor()
        seen = d.mailbox.codes(who)
        answer = visitor.ask_code(reference)
        code = d.mailbox.next_code(who, seen)
        statuses = []
        for guess in range(12):
            form = next((form for form in answer.page.forms if any(
                field["autocomplete"] == "one-time-code" for field in form["fields"])), None)
            if form is None:
                break
            wrong = f"{(int(code) + 1 + guess) % 100_000_000:08d}"
            answer = visitor.submit(form, answer.path, one_time_code=wrong)
            statuses.append(answer.status)
            holds(CANARY not in answer.body.decode(), "a wrong code opened it")
        holds(any(status in (429, 403) for status in statuses) or len(statuses) < 12, f"never slowed: {statuses}")
        equal(d.state(reference)["state"], "waiting", "state")
        return True

    def scanner():
        who = "scan@selfsigned.test"
        _, reference = d.leave(who)
        mails = len(d.mailbox.mails(who))
        bot = d.visitor(agent="Mozilla/5.0 (compatible; LinkScanner/2.0)")
        todo, done, sent = [f"/m/{reference}"], set(), 0
        while todo and len(done) < 120:
            path = todo.pop()
            if path in done:
                continue
            done.add(path)
            for method in ("HEAD", "GET"):
                answer = bot.request(method, path)
            for link in answer.page.links:
                if link.startswith("/") and not link.startswith("//"):
                    todo.append(link.split("#")[0])
            for form in answer.page.forms:
                if form["method"] == "post" and sent < 60:
                    sent += 1
                    fields = {field["name"]: field["value"] or "12345678" for field in form["fields"] if field["name"]}
                    bot.submit(form, path, **fields)
        shown = d.state(reference)
        equal((shown["state"], shown["openings"]), ("waiting", 0), "state")
        holds(len(d.mailbox.mails(who)) - mails <= 3, "codes were mailed without end")
        seen = d.mailbox.codes(who)
        holds(seen, "no code was mailed at all")
        # What the bot had mailed is good in its browser only; the person asks in their own.
        visitor = d.visitor()
        answer = visitor.ask_code(reference)
        own = d.mailbox.next_code(who, seen)
        form = next(form for form in answer.page.forms if any(
            field["autocomplete"] == "one-time-code" for field in form["fields"]))
        if own != seen[-1]:
            wrong = visitor.submit(form, answer.path, one_time_code=seen[-1])
            holds(CANARY not in wrong.page.text(), "the bot's code opens it in another browser")
        answer = visitor.submit(form, answer.path, one_time_code=own)
        if CANARY not in answer.page.text():
            answer = visitor.read(reference)
        holds(CANARY in answer.page.text(), f"the person's own code does not open it: {answer.page.text()[:300]}")
        return True

    def other_people():
        _, mine = d.leave("ann@selfsigned.test")
        _, theirs = d.leave("bob@selfsigned.test")
        visitor = d.visitor()
        visitor.sign_in(mine, d.mailbox, "ann@selfsigned.test")
        links = visitor.read(mine).page.links
        wrong = []
        for path in {link.replace(mine, theirs) for link in links if mine in link} | {f"/m/{theirs}", f"/box/{theirs}"}:
            answer = visitor.get(path)
            if CANARY in answer.body.decode("utf-8", "replace") or SUBJECT in answer.body.decode("utf-8", "replace"):
                wrong.append((path, answer.status))
        equal(d.state(theirs)["state"], "waiting", "state of the other's message")
        return wrong or True

    check("a reference that is none looks like one that is", unknown_looks_like_known)
    check("and is answered in the same time", takes_as_long)
    check("wrong codes are slowed and open nothing", wrong_codes)
    check("a scanner that follows and submits everything leaves the message unread", scanner)
    check("nobody sees another's message", other_people)


def killed(check, d):
    """kill -9 while messages come in and people read, reply and the sender retracts."""
    from __main__ import equal, holds

    def rounds():
        who = "kill@selfsigned.test"
        known, signed = [], None
        for number in range(12):
            stop = threading.Event()
            accepted, retracted = [], []

            def submit():
                while not stop.is_set():
                    try:
                        accepted.append(d.send(who)[0])
                    except Exception:  # noqa: BLE001: the daemon was killed under it
                        return

            worker = threading.Thread(target=submit)
            worker.start()
            time.sleep(random.uniform(0.2, 1.2))
            if known and number % 3 == 0:
                name = known[-1]
                done = d.daemon.command("pickup", "retract", name, "--reason", "test", check=False)
                if done.returncode == 0:
                    retracted.append(name)
            d.daemon.kill()
            stop.set()
            worker.join()
            d.start()
            for queue in accepted:
                # The line of the log can be lost with the process; what is in the portal cannot.
                world.wait_for(f"end of {queue}", 60, lambda: queue not in d.daemon.command("queue", "list").stdout)
                shown = d.pickup("show", queue)
                entries = shown if isinstance(shown, list) else [shown]
                equal(len(entries), 1, f"deposits of {queue}")
                known.append(entries[0]["reference"])
            for name in retracted:
                equal(d.state(name)["state"], "retracted", "state after the restart")
        holds(len(known) >= 12, f"only {len(known)} messages got in")
        visitor = d.visitor()
        alive = [name for name in known if d.state(name)["state"] == "waiting"]
        visitor.sign_in(alive[0], d.mailbox, who)
        holds(CANARY in visitor.read(alive[0]).page.text(), "what was left before a kill cannot be read")
        d.daemon.kill()
        d.start()
        equal(d.state(alive[0])["state"], "opened", "state after a kill right behind the opening")
        return True

    def replies():
        who = "killreply@selfsigned.test"
        _, reference = d.leave(who)
        visitor = d.visitor()
        visitor.sign_in(reference, d.mailbox, who)
        page = visitor.read(reference)
        link = next(link for link in page.page.links if link.endswith("/reply"))
        answer = visitor.get(link)
        form = next(form for form in answer.page.forms if any(field["type"] == "textarea" for field in form["fields"]))
        words = f"Taken before the kill {secrets.token_hex(8)}."
        answer = visitor.submit(form, answer.path, textarea=words)
        equal(answer.status, 200, "status of the reply")
        d.daemon.kill()
        d.start()
        def arrived():
            return [mail for mail in d.mailbox.mails(SENDER) if words in mail.as_string()]
        holds(len(world.wait_for("reply", 60, arrived)) >= 1, "the reply is lost")
        return True

    check("kill -9 right behind a reply that was taken: it arrives", replies)
    check("kill -9 in 12 rounds: every accepted message is deposited once, what was retracted stays so", rounds)


def clean(check, d):
    from __main__ import holds

    def canaries():
        needles = []
        for text in (CANARY, SUBJECT, SECRET, "see you on Friday", "the scan that you asked for"):
            plain = text.encode()
            needles += [plain, plain.decode().encode("utf-16-le")]
            needles += [base64.b64encode(b"x" * shift + plain)[4:4 + 4 * (len(plain) // 3 - 2)] for shift in range(3)]
        found = contains(d.daemon.data, needles)
        logs = [needle for needle in needles if any(needle in path.read_bytes() for path in
                (d.daemon.log, d.daemon.output, d.daemon.directory / "access.jsonl") if path.exists())]
        return (found + logs) or True

    def tokens():
        codes = {code for mail in range(1) for who in ("kim", "conf", "rita", "tara", "wes", "scan", "ann") for code in
                 d.mailbox.codes(f"{who}@selfsigned.test")}
        holds(len(codes) >= 5, "no codes to look for")
        texts = [path.read_text(errors="replace") for path in
                 (d.daemon.log, d.daemon.output, d.daemon.directory / "access.jsonl")]
        return [code for code in codes if any(code in text or f"{code[:4]} {code[4:]}" in text for text in texts)] or True

    def panics():
        holds("panicked" not in d.daemon.output.read_text(errors="replace"), tail(d.daemon.output))

    check("no canary in the data directory, the logs and the output", canaries)
    check("no code in any log", tokens)
    check("the portal never panicked", panics)


def apart(check, w, binary):
    """The portal as a process of its own."""
    from __main__ import equal, holds

    def two():
        d = Deployment(w, binary, "apart")
        d.daemon.process = None
        portal = world.Process(d.daemon.directory / "portal.log", binary, "serve", "--only", "portal", "--config", d.daemon.config)
        w.processes.append(portal)
        world.wait_for("portal", 30, lambda: world.listening("127.0.0.1", d.portal.port))
        mta = world.Process(d.daemon.output, binary, "serve", "--only", "mta", "--config", d.daemon.config)
        w.processes.append(mta)
        world.wait_for("submission", 30, lambda: all(world.listening("127.0.0.1", port) for port in d.daemon.ports))
        _, reference = d.leave("two@selfsigned.test")
        visitor = d.visitor()
        visitor.sign_in(reference, d.mailbox, "two@selfsigned.test")
        holds(CANARY in visitor.read(reference).page.text(), "it cannot be read")
        # Without its portal the line waits; with it, it goes on.
        portal.stop()
        queue, _ = d.send("two@selfsigned.test")
        event = d.daemon.await_event(queue, "deferred")
        equal(event["reason"], "local", "reason without a portal")
        again = world.Process(d.daemon.directory / "portal.log", binary, "serve", "--only", "portal", "--config", d.daemon.config)
        w.processes.append(again)
        d.daemon.await_event(queue, "deposited", limit=60)
        for process in (mta, again):
            equal(process.stop(), 0, "exit code")
        return True

    def cores():
        """Both have just handled a message, and may write as large a core as they like."""
        d = Deployment(w, binary, "cores")
        d.daemon.process = None
        # Where the kernel hands cores to a program, nothing is proved by a file that is not there: the status says it.
        control = world.Process(d.daemon.directory / "control.log", "sleep", "600", **unlimited_core(d))
        time.sleep(0.2)
        if not dumps(control):
            print("     (this machine writes no cores at all: nothing is shown by their absence)", flush=True)
        portal, mta = (world.Process(
            d.daemon.directory / f"{part}.log", binary, "serve", "--only", part, "--config", d.daemon.config,
            **unlimited_core(d)) for part in ("portal", "mta"))
        w.processes += [portal, mta]
        for port in (d.portal.port, *d.daemon.ports):
            world.wait_for("a listener", 30, lambda port=port: world.listening("127.0.0.1", port))
        _, reference = d.leave("core@selfsigned.test")
        visitor = d.visitor()
        visitor.sign_in(reference, d.mailbox, "core@selfsigned.test")
        holds(CANARY in visitor.read(reference).page.text(), "it cannot be read")
        return [name for name, process in (("portal", portal), ("line", mta)) if dumps(process)] or True

    check("line and portal as two processes; one waits for the other", two)
    check("what crashes leaves no core", cores)


def unlimited_core(d):
    """A child that may leave a core, in a directory of this run."""
    def allow():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return {"cwd": d.daemon.directory, "preexec_fn": allow}


def dumps(process):
    """Whether a child that is made to crash dumps its core."""
    process.child.send_signal(signal.SIGABRT)
    end = os.waitid(os.P_PID, process.child.pid, os.WEXITED | os.WNOWAIT)
    process.child.wait()
    return end.si_code == os.CLD_DUMPED


def checks(check, w, binary):
    d = Deployment(w, binary)
    d.start()
    letters(check, d)
    factors(check, d)
    sender(check, d)
    http(check, d)
    strangers(check, d)
    killed(check, d)
    clean(check, d)
    malware(check, w, binary)
    apart(check, w, binary)
