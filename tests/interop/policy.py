"""The policy at work: documents by other people's libraries, and what follows from what they hold."""

import base64
import email
import email.policy
import io
import json
import os
import re
import secrets
import subprocess
import time
import zipfile

import world
from daemon import SENDER, Daemon

# Synthetic all the way: a number of the area that is issued, and nobody's.
SSN = "219-47-8136"
PHI = f"Patient: Erika Muster, DOB: 03/14/1961, SSN: {SSN}\r\nDiagnosis: E11.9, MRN: 00482913\r\n"
PLAIN = "The meeting of the building committee is on Tuesday; bring the floor plans.\r\n"

POLICY = """
[policy]
unscannable = "confidential"

[[policy.domain]]
name = "clinic.test"
pin_mx = ["mx.good.test"]

[[policy.domain]]
name = "second.test"
pin_mx = ["mx.another.test"]

[[policy.rule]]
name = "no executables"
when = { attachment_name = '(?i)\\.exe$' }
reject = "executables are not sent by mail"

[[policy.rule]]
name = "board papers"
when = { subject = "(?i)board paper", recipient_domain = "good.test" }
hold = true

[[policy.rule]]
name = "lab results"
when = { sender_domain = ["lab.clinic.test"], subject = "(?i)result" }
raise = "confidential"

[[policy.tag]]
text = "[secure]"
raise = "confidential"

[[policy.exception]]
recipient = "fax@selfsigned.test"
allow = "any"
owner = "jo@clinic.test"
reason = "legacy-gateway"
warning = "The gateway has no certificate that can be verified."
expires = 2099-01-31

[[policy.exception]]
recipient = "fax@nostarttls.test"
allow = "none"
owner = "jo@clinic.test"
reason = "patient-request"
expires = 2099-01-31

[[policy.exception]]
recipient = "late@selfsigned.test"
allow = "any"
owner = "jo@clinic.test"
reason = "legacy-gateway"
expires = 2020-01-31
"""


def docx(text):
    import docx as library
    document, out = library.Document(), io.BytesIO()
    for line in text.splitlines():
        paragraph = document.add_paragraph()
        # As an editor does: one line in several runs, some of them bold.
        for at in range(0, len(line), 7):
            paragraph.add_run(line[at:at + 7]).bold = at % 2 == 0
    document.save(out)
    return out.getvalue(), "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "letter.docx"


def xlsx(text):
    import openpyxl
    book, out = openpyxl.Workbook(), io.BytesIO()
    for line in text.splitlines():
        book.active.append(re.split(r"[,:] *", line))
    book.save(out)
    return out.getvalue(), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "list.xlsx"


def pdf(text, password=None):
    from reportlab.pdfgen import canvas
    out = io.BytesIO()
    page = canvas.Canvas(out, encrypt=password)
    for at, line in enumerate(text.splitlines()):
        page.drawString(72, 720 - 20 * at, line)
    page.save()
    return out.getvalue(), "application/pdf", "report.pdf"


def zipped(text):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readme.txt", "nothing here")
        archive.writestr("inner/letter.docx", docx(text)[0])
    return out.getvalue(), "application/zip", "papers.zip"


def html(text):
    marked = text.replace("SSN", "S<b></b>S<i>N</i>").replace("\r\n", "<br>")
    return f"<html><body><p>{marked}</p></body></html>".encode(), "text/html", "letter.html"


def utf16(text):
    return text.encode("utf-16"), "text/plain; charset=utf-16", "notes.txt"


KINDS = [docx, xlsx, pdf, zipped, html, utf16]


def secret_zip(directory):
    (directory / "secret.txt").write_text(PHI)
    path = directory / "secret.zip"
    world.run("zip", "-q", "-j", "-P", "pass", str(path), str(directory / "secret.txt"))
    return path.read_bytes(), "application/zip", "secret.zip"


def bomb(_):
    """A gibibyte of nothing in a mebibyte, in an archive in an archive."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zero.txt", "w") as member:
        for _ in range(1024):
            member.write(bytes(1 << 20))
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.zip", inner.getvalue())
    return outer.getvalue(), "application/zip", "bomb.zip"


def broken_docx(_):
    whole = docx(PHI)[0]
    return whole[: len(whole) // 2], "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "half.docx"


def scan_page(_):
    """A page that is a picture: a PDF that shows no text."""
    from reportlab.pdfgen import canvas
    out = io.BytesIO()
    page = canvas.Canvas(out)
    page.rect(72, 72, 300, 300, fill=1)
    page.save()
    return out.getvalue(), "application/pdf", "scan.pdf"


def noise(_):
    return os.urandom(50_000), "application/octet-stream", "data.bin"


UNREADABLE = [
    ("an encrypted zip", secret_zip, "encrypted"),
    ("an encrypted PDF", lambda _: pdf(PHI, password="secret"), "encrypted"),
    ("a zip bomb", bomb, "too_large"),
    ("half a document", broken_docx, "damaged"),
    ("a scanned page", scan_page, "no_text"),
    ("octets of an unknown kind", noise, "unknown_kind"),
]


def message(recipient, text=PLAIN, attached=None, subject="Papers", sender=SENDER, fields=()):
    """A message as a mail program composes it: bytes, and its Message-ID."""
    id_ = f"<{secrets.token_hex(12)}@clinic.test>"
    head = [f"From: Billing <{sender}>", f"To: {recipient}", f"Subject: {subject}", f"Message-ID: {id_}",
            "MIME-Version: 1.0", *fields]
    if attached is None:
        body = ["Content-Type: text/plain; charset=utf-8", "", text]
    else:
        data, kind, name = attached
        body = ['Content-Type: multipart/mixed; boundary="part"', "", "--part", "Content-Type: text/plain", "", PLAIN,
                "--part", f"Content-Type: {kind}", "Content-Transfer-Encoding: base64",
                f'Content-Disposition: attachment; filename="{name}"', "",
                base64.encodebytes(data).decode().replace("\n", "\r\n") + "--part--", ""]
    return "\r\n".join([*head, *body]).encode(), id_


def checks(check, w, binary):
    from __main__ import connect, equal, holds, queue_id, transact
    retry = 'schedule = ["3s"]\nexpire_after = "1h"\nwarn_after = "30m"'
    daemon = Daemon(binary, w.scratch / "policy", w, retry, POLICY)
    w.daemons.append(daemon)
    daemon.start()
    scratch = daemon.directory

    def send(content, recipients, sender=SENDER):
        session = connect(w, daemon, implicit=True)
        try:
            return queue_id(transact(session, sender, recipients, content))
        finally:
            session.close()

    def decided(qid):
        return daemon.await_event(qid, "decided", limit=40)

    def reasons(event):
        return " ".join(event["reasons"])

    def waits(qid, level):
        event = decided(qid)
        equal(event["level"], level, f"level ({event})")
        deferred = daemon.await_event(qid, "deferred")
        equal(deferred["reason"], "security", "reason")
        equal(daemon.of(qid, "delivered"), [], "deliveries")
        return event

    def passes(qid, level="protected", grade="pkix"):
        delivered = daemon.await_event(qid, "delivered", limit=40)
        equal((delivered["level"], delivered["grade"]), (level, grade), "level and grade")
        return delivered

    # What is found raises the level.
    def found_in_text():
        content, id_ = message("patient@good.test", PHI)
        qid = send(content, ["patient@good.test"])
        event = waits(qid, "confidential")
        holds("us-ssn" in reasons(event), f"reasons are {event['reasons']}")
        holds(SSN not in json.dumps(daemon.events()), "the log holds what was found")
        equal([mail for mail in w.postfix.mails() if id_.encode() in mail], [], "mails at the MX")
        return True

    check("health information in the text: the level rises, and a pkix MX gets nothing", found_in_text)

    def pinned():
        content, id_ = message("patient@clinic.test", PHI)
        passes(send(content, ["patient@clinic.test"]), "confidential", "pinned")
        holds(SSN.encode() in w.arrived(id_), "it arrived whole")

    check("the same to a domain with a pinned MX arrives, at grade pinned", pinned)

    def not_pinned():
        qid = send(message("patient@second.test")[0], ["patient@second.test"])
        waits(qid, "protected")
        text = daemon.await_event(qid, "deferred")["reply"]["text"]
        holds("pins" in text, f"the log says only {text}")

    check("an MX that is not among the pins gets nothing", not_pinned)

    for make in KINDS:
        def phi(make=make):
            qid = send(message("patient@good.test", attached=make(PHI))[0], ["patient@good.test"])
            event = waits(qid, "confidential")
            holds("us-ssn" in reasons(event), f"reasons are {event['reasons']}")
            holds("could not be read" not in reasons(event), f"reasons are {event['reasons']}")

        def clean(make=make):
            passes(send(message("patient@good.test", attached=make(PLAIN))[0], ["patient@good.test"]))

        check(f"health information in a {make.__name__} attachment is found", phi)
        check(f"a {make.__name__} attachment without any is delivered", clean)

    for name, make, why in UNREADABLE:
        def unreadable(make=make, why=why):
            attached = make(scratch)
            started = time.monotonic()
            event = waits(send(message("patient@good.test", attached=attached)[0], ["patient@good.test"]), "confidential")
            holds(f"({why})" in reasons(event), f"reasons are {event['reasons']}")
            holds(time.monotonic() - started < 30, "it took too long")

        check(f"{name} cannot be read, and that raises the level", unreadable)

    def memory():
        status = open(f"/proc/{daemon.process.child.pid}/status", encoding="ascii").read()
        peak = int(re.search(r"VmHWM:\s+(\d+)", status).group(1))
        holds(peak < 300_000, f"the daemon's peak is {peak} KiB")

    check("none of that took much memory", memory)

    # What the sender asks for.
    def tagged():
        content, id_ = message("patient@clinic.test", subject="Minutes [Secure] of today")
        passes(send(content, ["patient@clinic.test"]), "confidential", "pinned")
        mail = email.message_from_bytes(w.arrived(id_), policy=email.policy.SMTP)
        equal(mail["subject"], "Minutes of today", "subject")

    check("a subject tag raises the level and is taken out", tagged)

    def encoded_tag():
        subject = "=?utf-8?B?" + base64.b64encode("Grüße [secure] aus Köln".encode()).decode() + "?="
        content, id_ = message("patient@clinic.test", subject=subject)
        passes(send(content, ["patient@clinic.test"]), "confidential", "pinned")
        mail = email.message_from_bytes(w.arrived(id_), policy=email.policy.SMTP)
        equal(mail["subject"], "Grüße aus Köln", "subject")

    check("a tag in an encoded subject, too", encoded_tag)

    def field():
        content, id_ = message("patient@clinic.test", fields=["x-SEALPOST-level: Confidential"])
        passes(send(content, ["patient@clinic.test"]), "confidential", "pinned")
        holds(b"sealpost-level" not in w.arrived(id_).lower(), "the field left")

    check("X-Sealpost-Level raises the level and is taken out", field)

    def refused(text, **how):
        content, _ = message("patient@good.test", **how)
        session = connect(w, daemon, implicit=True)
        session.mail(SENDER)
        session.rcpt("patient@good.test")
        code, reply = session.data(content)
        session.close()
        holds(code >= 550 and re.search(text, reply.decode()), f"reply is {code} {reply!r}")
        return code, reply

    check("an unknown level in it is refused", lambda: refused(
        "confidential", fields=["X-Sealpost-Level: secret"])[0] == 554)

    # Rules.
    def rejected():
        code, reply = refused("executables are not sent", attached=(b"MZ\0", "application/octet-stream", "Setup.EXE"))
        equal((code, reply[:5]), (550, b"5.7.1"), "reply")
        # The log is written behind the reply: the line may not be there yet.
        event = world.wait_for("log line of the rejection", 10, lambda: [
            each for each in daemon.events() if each.get("rule") == "no executables"])[0]
        holds(event["event"] == "rejected" and re.fullmatch("[0-9a-f]{32}", event["policy"]), f"event is {event}")

    check("a rule rejects at the end of DATA; the log names rule and policy", rejected)

    def held():
        content, id_ = message("patient@good.test", subject="Board paper 7")
        qid = send(content, ["patient@good.test"])
        event = daemon.await_event(qid, "held")
        holds("board papers" in json.dumps(event), f"event is {event}")
        holds("held" in daemon.command("queue", "show", qid).stdout, "queue show")
        time.sleep(4)
        equal(daemon.of(qid, "delivered"), [], "deliveries while it is held")
        daemon.command("queue", "release", qid, "--reason", "approved by the board")
        passes(qid)
        released = daemon.of(qid, "released")
        holds(len(released) == 1 and released[0]["reason"] == "approved by the board", f"released: {released}")
        w.arrived(id_)

    check("a rule holds until a person releases", held)

    def cancelled():
        qid = send(message("patient@good.test", subject="Board paper 8")[0], ["patient@good.test"])
        daemon.await_event(qid, "held")
        daemon.command("queue", "cancel", qid, "--reason", "withdrawn")
        daemon.await_event(qid, "cancelled")
        world.wait_for("an empty queue", 10, lambda: not any(qid in json.dumps(each) for each in daemon.waiting()))

    check("or cancels", cancelled)

    # The register of exceptions.
    def excepted():
        for recipient, grade in (("fax@selfsigned.test", "any"), ("fax@nostarttls.test", "none")):
            content, id_ = message(recipient)
            qid = send(content, [recipient])
            passes(qid, grade=grade)
            holds("jo@clinic.test" in json.dumps(decided(qid)["exception"]), "the decision names the owner")
            w.arrived(id_)

    check("an exception lets one address be reached below pkix, on the record", excepted)

    def not_above():
        for recipient in ("fax@selfsigned.test", "fax@nostarttls.test"):
            waits(send(message(recipient, PHI)[0], [recipient]), "confidential")

    check("but not above its level", not_above)

    def inert():
        for recipient in ("late@selfsigned.test", "other@selfsigned.test", "other@nostarttls.test"):
            waits(send(message(recipient)[0], [recipient]), "protected")

    check("nor once it has expired, nor for anybody else", inert)

    # What people ask.
    def explained():
        for content, recipient in ((message("patient@good.test", PHI)[0], "patient@good.test"),
                                   (message("patient@clinic.test", subject="[secure] x")[0], "patient@clinic.test"),
                                   (message("patient@good.test", attached=docx(PHI))[0], "patient@good.test"),
                                   (message("fax@selfsigned.test")[0], "fax@selfsigned.test")):
            path = scratch / "explain.eml"
            path.write_bytes(content)
            told = json.loads(daemon.command("policy", "explain", "--from", SENDER, "--to", recipient,
                                             "--message", path, "--json").stdout)
            event = decided(send(content, [recipient]))
            told = told["recipients"][0]["decision"]
            equal((told["level"], told["policy"]), (event["level"], event["policy"]), "level and policy")
            equal(told["course"].get("method"), event.get("method"), "method")

    check("policy explain says beforehand what the daemon then decides", explained)

    def proved():
        proof = json.loads(daemon.command("policy", "prove", "--json").stdout)
        holds(proof["proved"] and proof["combinations"] > 1000, f"proof is {str(proof)[:500]}")
        equal(len(proof["exceptions"]), 3, "exceptions")

    check("policy prove finds no hole and lists the exceptions", proved)

    def replayed():
        stricter = scratch / "stricter.toml"
        stricter.write_text(daemon.config.read_text().replace(
            "[policy]\n", '[policy]\nbase = "confidential"\n').replace(
            'text = "[secure]"\nraise = "confidential"', 'text = "[secure]"\nraise = "restricted"').replace(
            'subject = "(?i)result" }\nraise = "confidential"', 'subject = "(?i)result" }\nraise = "restricted"'))
        told = json.loads(daemon.command("policy", "replay", "--policy", stricter, "--json").stdout)
        holds("good.test" in json.dumps(told) and told["moved"] > 0, f"replay says {str(told)[:800]}")
        same = json.loads(daemon.command("policy", "replay", "--json").stdout)
        equal(same["moved"], 0, "decisions that the policy in force would move")
        verified = daemon.command("policy", "records", "verify")
        equal(verified.returncode, 0, "exit code")

    check("policy replay shows what another policy would have moved", replayed)

    def forecast():
        domains = scratch / "domains.txt"
        domains.write_text("good.test\nnostarttls.test\nselfsigned.test\nclinic.test\n")
        told = daemon.command("policy", "forecast", "--domains", domains, "--json").stdout
        grades = {each["domain"]: each["grade"] for each in json.loads(told)["domains"]}
        equal(grades, {"good.test": "pkix", "nostarttls.test": "none", "selfsigned.test": "any",
                       "clinic.test": "pinned"}, "grades")

    check("policy forecast knows what each domain gives today", forecast)

    def reloaded():
        before = decided(send(message("patient@good.test")[0], ["patient@good.test"]))["policy"]
        good = daemon.config.read_text()
        daemon.config.write_text(good.replace('(?i)board paper', '(?i)board (paper'))
        daemon.process.child.send_signal(1)
        done = daemon.command("check", check=False)
        equal(done.returncode, 2, "exit code of check")
        holds(re.search(r"sealpost\.toml:\d+:\d+: ", done.stdout + done.stderr), f"check says {done.stdout}{done.stderr}")
        equal(decided(send(message("patient@good.test")[0], ["patient@good.test"]))["policy"], before, "policy")
        daemon.config.write_text(good.replace('(?i)board paper', '(?i)floor plan'))
        daemon.process.child.send_signal(1)

        def changed():
            return decided(send(message("patient@good.test")[0], ["patient@good.test"]))["policy"] != before
        world.wait_for("the new policy", 10, changed)
        daemon.config.write_text(good)

    check("a bad policy is refused and the running one stays; a good one takes over", reloaded)

    check("no child process is left", lambda: holds(
        subprocess.run(["pgrep", "-P", str(daemon.process.child.pid)], capture_output=True, check=False).stdout == b"",
        "a worker still runs"))
    check("it drains", lambda: equal(daemon.stop(), 0, "exit code"))
    check("nothing panicked", lambda: holds(
        "panicked" not in daemon.output.read_text(errors="replace"), "see output.log"))
