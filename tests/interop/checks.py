"""The checks: sealpost between real clients, a real DNS server and a real Postfix."""

import email
import email.policy
import os
import pathlib
import re
import signal
import smtplib
import ssl
import subprocess
import sys
import time

import browser
import crash
import dkim
import dns.resolver
import messages
import policy
import portal
import smime
import smime_matrix
import smime_random
import world
from daemon import HOST, PASSWORD, SENDER, USER, Daemon, contains, tail

# A whole run; it takes about ten minutes.
LIMIT_SECONDS = 2100
HERE = pathlib.Path(__file__).resolve().parent

# The bad MXes: domain → subject and detail of the logged status (RFC 3463), what its words must speak of.
BAD = {
    "nostarttls.test": (".7.10", r"offers no STARTTLS"),
    "refuses.test": (".7.10", r"454"),
    "broken.test": (".7.5", r"TLS that fails"),
    "expired.test": (".7.5", r"expired"),
    "selfsigned.test": (".7.5", r"(?i)issuer|self.?signed"),
    "wrongname.test": (".7.5", r"name"),
    "injects.test": (".7.0", r"plaintext behind its reply to STARTTLS"),
}
FINALS = ("delivered", "bounced", "expired", "cancelled", "suppressed", "deposited")


class Checks:
    """Counts and prints. A check that raises has failed; the others go on."""

    def __init__(self):
        self.passed = self.failed = 0

    def __call__(self, name, test):
        started = time.monotonic()
        try:
            result = test()
            bad = result is not None and result is not True
            why = repr(result) if bad else ""
        except Exception as error:  # noqa: BLE001: whatever it was, it is this check's failure
            bad, why = True, f"{type(error).__name__}: {error}"
        if bad:
            self.failed += 1
            print(f"FAIL {name}: {why[:3000]}", flush=True)
        else:
            self.passed += 1
            print(f"ok   {name} ({time.monotonic() - started:.1f} s)", flush=True)
        return not bad


def equal(found, wanted, what="value"):
    if found != wanted:
        raise AssertionError(f"{what} is {found!r}, not {wanted!r}")


def holds(condition, what):
    if not condition:
        raise AssertionError(what)


class World:
    """Every peer, in one scratch directory."""

    def __init__(self, scratch):
        self.scratch = scratch
        self.authority = world.Authority(scratch / "pki")
        self.pair = self.authority.pair
        self.port = world.free_port(world.PEERS)
        self.nsd = world.Nsd(scratch / "dns")
        self.postfix = world.Postfix(scratch / "postfix", self.authority, self.port)
        self.processes = []
        self.daemons = []
        self.sink_pair = self.pair("sink", ["mx.sink.test"])

    def start(self):
        self.nsd.start()
        self.postfix.start()
        self.processes.append(world.Process(
            self.scratch / "badmx.log", sys.executable, "-B", HERE / "badmx.py", self.scratch, self.port,
            *self.pair("injects", ["mx.injects.test"]),
            f"refuses={world.REFUSES}", f"broken={world.BROKEN}", f"injects={world.INJECTS}"))
        world.wait_for("bad MX", 10, lambda: all(
            world.listening(each, self.port) for each in (world.REFUSES, world.BROKEN, world.INJECTS)))

    def start_sink(self):
        """The sink with its ledger; it can be stopped and started again."""
        sink = world.Process(self.scratch / "sink.log", sys.executable, "-B", HERE / "sink.py",
                             world.SINK, self.port, *self.sink_pair, self.scratch / "took")
        self.processes.append(sink)
        world.wait_for("sink", 10, lambda: world.listening(world.SINK, self.port))
        return sink

    def stop(self):
        for daemon in self.daemons:
            if daemon.process:
                daemon.stop()
        for process in self.processes:
            process.stop()
        self.postfix.stop()
        self.nsd.stop()

    def commands(self, name):
        """What a bad MX was sent: lines of commands, or of whatever else."""
        transcript = self.scratch / f"{name}.transcript"
        if not transcript.exists():
            return self.postfix.commands(name)
        lines = transcript.read_text(encoding="ascii").splitlines()
        return [line[4:-5] if line.endswith("\\r\\n'") else line[4:] for line in lines if line.startswith("< ")]

    def context(self):
        return ssl.create_default_context(cafile=str(self.authority.ca))

    def arrived(self, message_id, limit=30):
        """The one delivered mail with this Message-ID."""
        def look():
            field = f"\r\nMessage-ID: {message_id}".encode()
            return [mail for mail in self.postfix.mails() if field in mail.split(b"\r\n\r\n", 1)[0]]
        found = world.wait_for(f"mail {message_id}", limit, look)
        equal(len(found), 1, "number of copies")
        return found[0]


def queue_id(reply):
    """The queue id in a final reply, as text or bytes."""
    text = reply.decode() if isinstance(reply, bytes) else reply
    found = re.search(r"2\.0\.0 Ok: queued as ([0-9A-HJKMNP-TV-Z]{13})\b", text)
    holds(found, f"no queue id in {text[-600:]!r}")
    return found.group(1)


# ------------------------------------------------------------------ clients


def connect(w, daemon, implicit=False, login=True, mechanism=None):
    """An smtplib session, through TLS and AUTH."""
    if implicit:
        session = smtplib.SMTP_SSL(timeout=30, context=w.context())
        session._host = HOST
        session.connect("127.0.0.1", daemon.implicit)
    else:
        session = smtplib.SMTP(timeout=30)
        session.connect("127.0.0.1", daemon.starttls)
        session._host = HOST
        session.starttls(context=w.context())
    session.ehlo()
    if login:
        session.user, session.password = USER, PASSWORD
        if mechanism == "LOGIN":
            session.auth("LOGIN", session.auth_login)
        elif mechanism == "PLAIN":
            session.auth("PLAIN", session.auth_plain)
        else:
            session.login(USER, PASSWORD)
    return session


def transact(session, sender, recipients, content, options=()):
    """One transaction: the final reply."""
    code, reply = session.mail(sender, options)
    equal(code, 250, f"reply {reply!r} to MAIL")
    for recipient in recipients:
        code, reply = session.rcpt(recipient)
        equal(code, 250, f"reply {reply!r} to RCPT")
    code, reply = session.data(content)
    equal(code, 250, f"reply {reply!r} to DATA")
    return reply


def by_smtplib(w, daemon, message, implicit, mechanism, content=None, recipients=None):
    session = connect(w, daemon, implicit, mechanism=mechanism)
    reply = transact(session, message.sender, recipients or [message.recipient], content or message.bytes(),
                     ["BODY=8BITMIME"])
    session.quit()
    return queue_id(reply)


def by_command(w, message, *argv, stdin=None):
    """Runs a client that reads the message from a file; its output holds the final reply."""
    path = w.scratch / "message.eml"
    path.write_bytes(message.bytes())
    argv = [str(path) if each is by_command else str(each) for each in argv]
    done = subprocess.run(argv, input=stdin or "", capture_output=True, text=True, errors="replace", timeout=120, check=False)
    equal(done.returncode, 0, f"exit code ({done.stdout[-800:]}{done.stderr[-800:]})")
    return queue_id(done.stdout + done.stderr)


def by_swaks(w, daemon, message, implicit, mechanism):
    # As is: no tokens, no dot-stuffing and no end by swaks, so the file carries both.
    path = w.scratch / "stuffed.eml"
    path.write_bytes(re.sub(rb"(?m)^\.", b"..", message.bytes()) + b".")
    return by_command(
        w, message, "swaks", "--server", "127.0.0.1", "--port", daemon.implicit if implicit else daemon.starttls,
        "--tlsc" if implicit else "--tls", "--tls-verify", "--tls-ca-path", w.authority.ca, "--auth", mechanism,
        "--auth-user", USER, "--auth-password", PASSWORD, "--from", message.sender, "--to", message.recipient,
        "--ehlo", "app.clinic.test", "--no-data-fixup", "--data", f"@{path}")


def by_curl(w, daemon, message):
    return by_command(
        w, message, "curl", "--verbose", "--silent", "--show-error", "--url", f"smtps://{HOST}:{daemon.implicit}",
        "--connect-to", f"{HOST}:{daemon.implicit}:127.0.0.1:{daemon.implicit}", "--cacert", w.authority.ca,
        "--user", f"{USER}:{PASSWORD}", "--mail-from", message.sender, "--mail-rcpt", message.recipient,
        "--upload-file", by_command)


def by_nodemailer(w, daemon, message):
    return by_command(w, message, "node", HERE / "mailer.js", HOST, daemon.starttls, w.authority.ca, USER,
                      message.sender, message.recipient, by_command, stdin=PASSWORD)


# ------------------------------------------------------------------ checks


def delivered_whole(w, daemon, message, send):
    """Sent, delivered over verified TLS, logged, signed, and byte for byte what was sent."""
    qid = send(message)
    mail = w.arrived(message.id, limit=60)
    added, rest = messages.split_added(mail)
    if rest != message.bytes():
        at = next((i for i, (a, b) in enumerate(zip(rest, message.bytes())) if a != b), min(len(rest), len(message.bytes())))
        raise AssertionError(f"differs at octet {at}: {rest[at - 40:at + 40]!r}, sent {message.bytes()[at - 40:at + 40]!r}")
    equal(added.count(b"dkim-signature"), 2, "number of signatures")
    top = mail[: len(mail) - len(rest)]
    holds(re.search(rb"using TLSv1\.[23] ", top), "Postfix saw no TLS")
    holds(qid.encode() in top, "no queue id in Received")
    event = daemon.await_event(qid, "delivered")
    for key, value in (("recipient", message.recipient), ("sender", message.sender), ("grade", "pkix"),
                       ("mx", "mx.good.test"), ("address", world.GOOD), ("level", "protected"), ("method", "tls")):
        holds(str(event.get(key, "")).split(":")[0] == value or event.get(key) == value, f"{key} is {event.get(key)!r}")
    equal(event["tls"]["verified_by"], "pkix", "verified_by")
    equal(event["reply"]["code"], 250, "code")
    postfix_id = re.search(r"queued as (\w+)", event["reply"]["text"]).group(1)
    holds(f"{postfix_id}: " in w.postfix.log.read_text(errors="replace"), "the logged reply is not Postfix's")
    received = daemon.of(qid, "received")
    equal(len(received), 1, "number of received events")
    equal((received[0]["user"], received[0]["message_id"]), (USER, message.id), "received event")


def clients(check, w, daemon):
    to = "patient@good.test"
    by = [
        ("swaks, STARTTLS, AUTH PLAIN", lambda m: by_swaks(w, daemon, m, False, "PLAIN")),
        ("swaks, implicit TLS, AUTH LOGIN", lambda m: by_swaks(w, daemon, m, True, "LOGIN")),
        ("curl, implicit TLS", lambda m: by_curl(w, daemon, m)),
        ("smtplib, STARTTLS, AUTH LOGIN", lambda m: by_smtplib(w, daemon, m, False, "LOGIN")),
        ("smtplib, implicit TLS, AUTH PLAIN", lambda m: by_smtplib(w, daemon, m, True, "PLAIN")),
        ("nodemailer, STARTTLS", lambda m: by_nodemailer(w, daemon, m)),
    ]
    kinds = [("dot lines", messages.dots), ("8-bit", messages.eight_bit), ("998-octet lines", messages.long_lines)]
    rows = [(f"{client}: {kind}", make, send) for client, send in by for kind, make in kinds]
    rows += [(f"{client}: 20 MB attachment", messages.attachment, send) for client, send in (by[2], by[4])]
    for name, make, send in rows:
        check(f"{name} arrives byte-exact over verified TLS",
              lambda make=make, send=send: delivered_whole(w, daemon, make(SENDER, to), send))

    def composed():
        done = subprocess.run(
            ["node", HERE / "mailer.js", HOST, str(daemon.starttls), w.authority.ca, USER, SENDER, to, "-"],
            input=PASSWORD, capture_output=True, text=True, timeout=60, check=True)
        daemon.await_event(queue_id(done.stdout), "delivered")
        mail = email.message_from_bytes(w.arrived("<composed-by-nodemailer@clinic.test>"), policy=email.policy.SMTP)
        equal(mail["subject"], "Grüße aus der Praxis", "subject")
        parts = list(mail.iter_attachments())
        equal(parts[0].get_content().replace("\r\n", "\n"), "zeile\n" * 20000, "attachment")
        equal(mail.get_body().get_content().replace("\r\n", "\n").rstrip("\n"), "Zeile eins\n.\n..\nÄÖÜ", "text")

    check("nodemailer composes: text and attachment arrive", composed)


def header_edits(check, w, daemon):
    def bcc():
        message = messages.dots(SENDER, "patient@good.test")
        extra = ["Bcc: secret@good.test,", " other@good.test", "Return-Path: <forged@good.test>"]
        qid = by_smtplib(w, daemon, message, True, "PLAIN", content=message.bytes(extra),
                         recipients=[message.recipient, "secret@good.test"])

        def copies():
            return len(daemon.of(qid, "delivered")) == 2 and [
                mail for mail in w.postfix.mails() if message.id.encode() in mail]
        for mail in world.wait_for("both copies", 20, copies):
            _, rest = messages.split_added(mail)
            equal(rest, message.bytes(), "message")

    check("Bcc and Return-Path are taken off, nothing else changes", bcc)

    def missing():
        content = f"From: <{SENDER}>\r\nTo: a@good.test\r\n\r\n{messages.BODY_CANARY}\r\n".encode()
        session = connect(w, daemon, implicit=True)
        qid = queue_id(transact(session, SENDER, ["a@good.test"], content))
        session.quit()
        daemon.await_event(qid, "delivered")
        mail = email.message_from_bytes(next(mail for mail in w.postfix.mails() if qid.encode() in mail))
        holds(mail["Date"] and mail["Message-ID"], "no Date or Message-ID was added")
        equal(dkim_valid(w, mail.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")), [True, True], "signatures")

    check("Date and Message-ID are added where missing, under the signature", missing)


def dkim_valid(w, mail):
    """For each DKIM signature, from the top: whether dkimpy accepts it by the keys in the DNS."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], w.nsd.port

    def txt(name, timeout=5):
        answer = resolver.resolve(name.decode().rstrip("."), "TXT", lifetime=timeout)
        return b"".join(answer[0].strings)

    count = sum(1 for name, _ in dkim.rfc822_parse(mail)[0] if name.lower() == b"dkim-signature")
    return [verified(mail, each, txt) for each in range(count)]


def verified(mail, index, txt):
    try:
        return dkim.DKIM(mail).verify(idx=index, dnsfunc=txt)
    except dkim.ValidationError:
        return False


def signatures(check, w, daemon):
    def verify():
        message = messages.eight_bit("results@lab.clinic.test", "patient@good.test")
        message.kept[0] = f"From: Billing <{SENDER}>"
        by_smtplib(w, daemon, message, True, "PLAIN")
        mail = w.arrived(message.id)
        algorithms = sorted(re.findall(rb"\ba=([a-z0-9-]+)", mail[: mail.index(b"\r\nFrom:")]))
        equal(algorithms, [b"ed25519-sha256", b"rsa-sha256"], "algorithms")
        equal(dkim_valid(w, mail), [True, True], "signatures")
        equal(dkim_valid(w, mail.replace(b"Befund:", b"befund:")), [False, False], "signatures of a changed body")
        equal(dkim_valid(w, mail.replace(b"\r\nSubject:", b"\r\nX-Old: 1\r\nSubject:", 1)), [True, True], "with a new field")
        forged = mail.replace(b"\r\nFrom:", b"\r\nFrom: <forged@clinic.test>\r\nFrom:", 1)
        equal(dkim_valid(w, forged), [False, False], "signatures with a second From")

    check("dkimpy verifies RSA and Ed25519 signatures, and no changed message", verify)

    def every():
        bad = [mail for mail in w.postfix.mails() if b"\r\nDKIM-Signature:" in mail and len(mail) < 1_000_000
               and False in dkim_valid(w, mail)]
        equal(len(bad), 0, "number of signed mails that do not verify")

    check("every signed mail that arrived verifies", every)


def refusals(check, w, daemon):
    def password():
        session = connect(w, daemon, login=False)
        try:
            session.login(USER, "wrong")
        except smtplib.SMTPAuthenticationError as error:
            equal((error.smtp_code, error.smtp_error[:5]), (535, b"5.7.8"), "reply")
        else:
            return "a wrong password was taken"
        finally:
            session.close()

    check("a wrong password is answered 535 5.7.8", password)

    def reply(code, enhanced, *steps, **how):
        session = connect(w, daemon, **how)
        try:
            for step in steps[:-1]:
                got, text = step(session)
                holds(got < 400, f"{got} {text!r} came early")
            got, text = steps[-1](session)
            equal((got, text[: len(enhanced)]), (code, enhanced), "reply")
        finally:
            session.close()

    check("no mail without AUTH: 530 5.7.0",
          lambda: reply(530, b"5.7.0", lambda s: s.mail("x@other.test"), login=False))
    check("a sender that was not granted: 550 5.7.1",
          lambda: reply(550, b"5.7.1", lambda s: s.mail("ceo@clinic.test")))
    message = messages.dots("ceo@clinic.test", "a@good.test").bytes()
    check("an author that was not granted: 550 5.7.1",
          lambda: reply(550, b"5.7.1", lambda s: s.mail(SENDER), lambda s: s.rcpt("a@good.test"),
                        lambda s: s.data(message)))

    def clear():
        with smtplib.SMTP("127.0.0.1", daemon.starttls, timeout=10) as session:
            session.ehlo()
            holds("auth" not in session.esmtp_features, "AUTH is offered in clear")
            equal(session.mail(SENDER)[0], 530, "reply to MAIL in clear")
            holds(session.docmd("AUTH", "PLAIN AGEAYg==")[0] in (530, 538), "AUTH in clear was not refused")

    check("in clear there is neither AUTH nor MAIL", clear)


def send_to_the_bad(check, w, daemon):
    """One message to each domain that nothing may reach, sent first: it takes a while to expire."""
    sent = {}

    def send():
        for domain in [*BAD, "nosuch.test"]:
            message = messages.dots(SENDER, f"patient@{domain}")
            sent[domain] = by_smtplib(w, daemon, message, True, "PLAIN")

    check("mail to domains that cannot be reached in safety is accepted", send)

    def waiting():
        first = sent["nostarttls.test"]
        daemon.await_event(first, "deferred")
        holds(any(first in str(each) for each in daemon.waiting()), "queue list --json does not show it")
        holds(first in daemon.command("queue", "list").stdout, "the table does not show it")
        shown = daemon.command("queue", "show", first, "--json").stdout
        holds("security" in shown and "patient@nostarttls.test" in shown, f"queue show says {shown!r}")

    check("a message that waits is shown by queue list and queue show", waiting)
    return sent


def bad_mxes(check, w, daemon, sent):
    """Envelope and content must stay here; log and DSN must say why."""
    for domain, (code, why) in BAD.items():
        name = domain.removesuffix(".test")

        def held_back(domain=domain, code=code, why=why, name=name):
            qid = sent[domain]
            event = daemon.await_event(qid, "deferred")
            equal((event["reason"], event["recipient"]), ("security", f"patient@{domain}"), "reason")
            equal(event.get("required"), "pkix", "required grade")
            holds(re.search(why, event["reply"]["text"]), f"the log says only {event['reply']['text']!r}")
            final = daemon.await_event(qid, "expired", "bounced", limit=90)
            equal((final["event"], final["reply"]["enhanced"][1:]), ("expired", code), "final event")
            commands = w.commands(name)
            holds(any(each.upper().startswith("EHLO") for each in commands), f"nobody came: {commands}")
            told = [each for each in commands if re.match(r"(?i)MAIL|RCPT|DATA|BDAT|AUTH", each)]
            equal(told, [], "what the MX was told")
            holds(not any("patient" in each or messages.BODY_CANARY in each for each in commands), "content")
            equal(daemon.of(qid, "delivered", "bounced"), [], "other final events")

        check(f"{name}: no MAIL was sent, the log says why", held_back)

        def told_sender(domain=domain, why=why):
            def look():
                return [mail for mail in w.postfix.mails()
                        if f"patient@{domain}".encode() in mail and b"Action: failed" in mail]
            mail = world.wait_for("DSN", 20, look)[0]
            dsn = email.message_from_bytes(mail, policy=email.policy.SMTP)
            equal((dsn.get_content_type(), dsn.get_param("report-type")),
                  ("multipart/report", "delivery-status"), "type")
            equal(dsn["Return-Path"], "<>", "reverse-path")
            equal(dsn["To"].addresses[0].addr_spec, SENDER, "To")
            status = next(part for part in dsn.walk() if part.get_content_type() == "message/delivery-status")
            per_recipient = status.get_payload()[1]
            equal((per_recipient["Action"], per_recipient["Status"]), ("failed", "5.7.10"), "status")
            equal(per_recipient["Final-Recipient"].replace(" ", "").lower(), f"rfc822;patient@{domain}", "recipient")
            human = " ".join((dsn.get_payload()[0].get_content() + str(per_recipient)).split())
            holds(re.search(why, human), f"the DSN does not say why: {human!r}")
            holds(messages.BODY_CANARY.encode() not in mail, "the DSN returns the body")
            equal(dkim_valid(w, mail)[:1] or [True], [True], "signature")

        check(f"{name}: the sender's DSN says why", told_sender)

        def warned(domain=domain):
            holds(any(f"patient@{domain}".encode() in mail and b"Action: delayed" in mail for mail in w.postfix.mails()),
                  "no notice of delay came")

        check(f"{name}: the sender was told early", warned)

    def no_domain():
        final = daemon.await_event(sent["nosuch.test"], "expired", "bounced", limit=90)
        equal(final["reply"]["enhanced"][1:], ".1.2", "status")

    check("a domain that does not exist ends with 5.1.2", no_domain)

    def control():
        """A careless client hands each of these MXes its mail: their transcripts would show it."""
        careless = ssl.create_default_context()
        careless.check_hostname, careless.verify_mode = False, ssl.CERT_NONE
        for name, address in (("nostarttls", world.PLAIN), ("expired", world.EXPIRED), ("selfsigned", world.SELF_SIGNED),
                              ("wrongname", world.WRONG_NAME), ("refuses", world.REFUSES), ("broken", world.BROKEN),
                              ("injects", world.INJECTS)):
            with smtplib.SMTP(address, w.port, timeout=10) as session:
                session.ehlo()
                if name not in ("nostarttls", "refuses", "broken"):
                    session.starttls(context=careless)
                equal(session.mail("x@clinic.test")[0], 250, f"reply of {name} to MAIL")
            world.wait_for(f"MAIL at {name}", 5, lambda name=name: any(
                each.upper().startswith("MAIL") for each in w.commands(name)))

    check("control: a careless client's MAIL shows in each of these transcripts", control)


def routes(check, w, daemon):
    def second():
        message = messages.dots(SENDER, "patient@second.test")
        qid = by_smtplib(w, daemon, message, True, "PLAIN")
        equal(daemon.await_event(qid, "delivered")["mx"], "mx.good.test", "mx")
        w.arrived(message.id)

    check("where the first MX offers no TLS, the second gets it", second)

    def null_mx():
        qid = by_smtplib(w, daemon, messages.dots(SENDER, "patient@nullmx.test"), True, "PLAIN")
        equal(daemon.await_event(qid, "bounced")["reply"]["enhanced"], "5.1.10", "status")

    check("a null MX bounces at once with 5.1.10", null_mx)

    def one_of_two():
        message = messages.dots(SENDER, "patient@good.test")
        qid = by_smtplib(w, daemon, message, True, "PLAIN", recipients=[message.recipient, "nobody@good.test"])
        equal(daemon.await_event(qid, "delivered")["recipient"], message.recipient, "delivered recipient")
        bounced = daemon.await_event(qid, "bounced")
        equal((bounced["recipient"], bounced["reply"]["code"], bounced["reply"]["enhanced"]),
              ("nobody@good.test", 550, "5.1.1"), "bounced recipient")
        w.arrived(message.id)

        def look():
            return [mail for mail in w.postfix.mails() if b"Action: failed" in mail and b"nobody@good.test" in mail]
        holds(b"No such user here" in world.wait_for("DSN", 20, look)[0], "the DSN does not quote the MX")

    check("one recipient of two is refused: one delivery, one DSN with the MX's words", one_of_two)


def ledgers(check, w, daemon):
    """What must hold of everything together."""
    def finals():
        def open_recipients():
            ends = {}
            for each in daemon.events():
                if each["event"] in FINALS:
                    key = each["queue_id"], each["recipient"]
                    ends[key] = ends.get(key, 0) + 1
            received = {each["queue_id"] for each in daemon.events() if each["event"] == "received"}
            twice = [key for key, count in ends.items() if count != 1]
            equal(twice, [], "recipients with two final events")
            return received <= {key[0] for key in ends}
        world.wait_for("final event for every message", 30, open_recipients)
        equal(daemon.waiting(), [], "the queue")

    check("every recipient has exactly one final event, and the queue is empty", finals)

    def fields():
        for each in daemon.events():
            holds(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", each["time"]), f"time {each['time']}")
            holds("queue_id" in each or each["event"] in ("rejected", "auth_failed", "locked_out"), f"no id: {each}")
        kinds = {each["event"] for each in daemon.events()}
        missing = {"received", "decided", "delivered", "deferred", "bounced", "expired", "dsn_sent", "auth_failed",
                   "rejected"} - kinds
        equal(missing, set(), "events that were never logged")

    check("the delivery log keeps its contract", fields)

    def clear():
        planted = daemon.directory / "planted"
        needles = [*messages.needles(), PASSWORD.encode()]
        for needle in needles:
            planted.write_bytes(b"\0" * 1000 + needle + b"\0")
            equal(len(contains(daemon.directory, [needle])), 1, "the search finds what is planted")
            planted.unlink()
        equal(contains(daemon.directory, needles), [], "files with content, subject or password in clear")

    check("no body, subject or password in clear in data, logs or output", clear)


def process(check, w, daemon):
    check("check accepts the configuration", lambda: equal(daemon.command("check", check=False).returncode, 0, "exit code"))

    def second():
        done = daemon.command("serve", check=False)
        equal(done.returncode, 75, f"exit code ({done.stderr[-500:]})")

    check("a second instance on the same spool exits 75", second)

    def broken():
        path = daemon.directory / "broken.toml"
        path.write_text(daemon.config.read_text().replace("[relay]\n", "[relay]\nprot = 26\n"))
        done = subprocess.run([daemon.binary, "check", "--config", path], capture_output=True, text=True, timeout=30, check=False)
        equal(done.returncode, 2, f"exit code ({done.stdout}{done.stderr})")
        holds(re.search(r"broken\.toml:\d+:\d+: .*prot", done.stdout + done.stderr), f"says {done.stdout}{done.stderr}")

    check("an unknown key is refused with file, line and column", broken)

    def drained():
        equal(daemon.stop(), 0, f"exit code ({tail(daemon.output)})")

    check("SIGTERM drains and exits 0", drained)

    def keyless():
        key = daemon.directory / "master.key"
        moved = key.rename(daemon.directory / "moved.key")
        try:
            done = daemon.command("serve", check=False)
            equal(done.returncode, 78, f"exit code ({done.stderr[-500:]})")
        finally:
            moved.rename(key)

    check("without its master key it exits 78", keyless)
    check("nothing panicked", lambda: holds("panicked" not in daemon.output.read_text(errors="replace"), tail(daemon.output)))


def demo(check, scratch, binary):
    def once():
        done = subprocess.run([binary, "demo", "--once"], cwd=scratch, env={**os.environ, "TMPDIR": str(scratch)}, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120, check=False)
        output = done.stdout + done.stderr
        equal(done.returncode, 0, f"exit code ({output[-2500:]})")
        for domain in ("tls.test", "smime.test", "portal.test", "weak.test"):
            holds(domain in output, f"{domain} is not shown")
        holds(re.search(r"opened +Subject: sealpost demo", output), "what was sealed is not shown opened")
        holds("friend@portal.test: DEPOSITED" in output and re.search(r"read +with a mailed code", output), "what was left in the portal is not read there")

    check("demo --once exits 0 and shows each domain", once)


def mail_checks(check, w, binary):
    """One sealpost that lives through everything but a crash."""
    retry = 'schedule = ["2s", "5s", "10s"]\nexpire_after = "1m"\nwarn_after = "10s"'
    # Octets of every kind are sent; what follows from what cannot be read is another part's.
    daemon = Daemon(binary, w.scratch / "main", w, retry, '[policy]\nunscannable = "off"\n')
    w.daemons.append(daemon)
    records = daemon.dkim_records()
    w.nsd.add("".join(
        f"{selector}._domainkey.clinic TXT " + " ".join(f'"{value[i:i + 200]}"' for i in range(0, len(value), 200)) + "\n"
        for selector, value in records.items()))
    daemon.start()
    sent = send_to_the_bad(check, w, daemon)
    clients(check, w, daemon)
    header_edits(check, w, daemon)
    signatures(check, w, daemon)
    refusals(check, w, daemon)
    routes(check, w, daemon)
    bad_mxes(check, w, daemon, sent)
    ledgers(check, w, daemon)
    process(check, w, daemon)


PARTS = {
    "mail": mail_checks,
    "crash": crash.checks,
    "policy": policy.checks,
    "smime": smime.checks,
    "smime_matrix": smime_matrix.checks,
    "smime_random": smime_random.checks,
    "portal": portal.checks,
    "browser": browser.checks,
    "demo": lambda check, w, binary: demo(check, w.scratch, binary),
}


def main(binary, scratch, *parts):
    started = time.monotonic()
    check = Checks()
    w = World(scratch)
    try:
        w.start()
        for part in parts or PARTS:
            PARTS[part](check, w, binary)
    except Exception as error:  # noqa: BLE001: without its world nothing can be checked
        check("the world stands", lambda: f"{type(error).__name__}: {error}")
    finally:
        w.stop()
    print(f"     took {time.monotonic() - started:.0f} s")
    print(f"{check.passed} passed, {check.failed} failed", flush=True)
    return check.failed == 0


def stop(number, _):
    """Whatever ends this run, its processes end with it."""
    raise SystemExit(f"ended by {signal.Signals(number).name}")


if __name__ == "__main__":
    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(each, stop)
    signal.alarm(LIMIT_SECONDS)
    sys.exit(0 if main(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]), *sys.argv[3:]) else 1)
