"""kill -9 at random moments under load, with a ledger on both sides.

Producers write down every message whose final 250 they read; the sink writes down every message
it took. At the end the sink's ledger must hold the producers'.
"""

import collections
import random
import smtplib
import threading
import time

import messages
import world
from daemon import HOST, PASSWORD, SENDER, USER, Daemon, contains, tail

ROUNDS = 20
PRODUCERS = 8
# Every so many messages is one that the spool keeps in a file of its own.
BIG_EVERY = 50
TO = "patient@sink.test"


class Load:
    """Producers that send all the time and reconnect when the daemon is killed."""

    def __init__(self, w, daemon):
        self.w, self.daemon = w, daemon
        self.acknowledged = []
        self.lock = threading.Lock()
        self.ending = threading.Event()
        self.paused = threading.Event()
        self.sent = 0
        self.threads = [threading.Thread(target=self.produce, daemon=True) for _ in range(PRODUCERS)]
        for thread in self.threads:
            thread.start()

    def produce(self):
        while not self.ending.is_set():
            try:
                self.session()
            except (OSError, smtplib.SMTPException):
                self.ending.wait(0.02)

    def session(self):
        session = smtplib.SMTP_SSL(timeout=20, context=self.w.context())
        session._host = HOST
        try:
            session.connect("127.0.0.1", self.daemon.implicit)
            session.login(USER, PASSWORD)
            while not self.ending.is_set():
                if self.paused.is_set():
                    self.ending.wait(0.02)
                    continue
                with self.lock:
                    self.sent += 1
                    big = self.sent % BIG_EVERY == 0
                message = messages.checksummed(SENDER, TO, 1_500_000 if big else random.randrange(500, 20_000))
                if session.mail(SENDER)[0] != 250 or session.rcpt(TO)[0] != 250:
                    raise smtplib.SMTPException("refused")
                if session.data(message.bytes())[0] == 250:
                    with self.lock:
                        self.acknowledged.append(message.id)
        finally:
            session.close()

    def count(self):
        with self.lock:
            return len(self.acknowledged)

    def end(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(60)


def ledger(w):
    """(message id, whole or half) of everything that the sink took."""
    path = w.scratch / "took"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [tuple(line.split(" ")[:2]) for line in lines]


def checks(check, w, binary):
    daemon = Daemon(binary, w.scratch / "crash", w, 'schedule = ["1s"]\nexpire_after = "1d"\nwarn_after = "12h"')
    w.daemons.append(daemon)
    sink = w.start_sink()
    daemon.start()
    load = Load(w, daemon)
    needles = [*messages.needles(), PASSWORD.encode()]
    state = {"idle": 0}

    def wait_for_acknowledgements(more):
        goal = load.count() + more
        world.wait_for(f"{more} acknowledgements", 60, lambda: load.count() >= goal)

    def rounds():
        nonlocal sink
        for number in range(ROUNDS):
            if number == ROUNDS // 2:
                # From here on mail piles up, so that there is a queue to search and to recover.
                sink.stop()
            wait_for_acknowledgements(1)
            time.sleep(random.uniform(0.05, 1.0))
            daemon.kill()
            if number == ROUNDS // 2:
                state["queued"] = load.count() - len({each for each, _ in ledger(w)} & set(load.acknowledged))
                state["clear"] = contains(daemon.directory, needles)
                sink = w.start_sink()
            daemon.start()

    if not check(f"{ROUNDS} times kill -9 under load: it comes up again each time", rounds):
        print(f"     {tail(daemon.output)}")
    load.end()

    def at_rest():
        if not state.get("queued"):
            return "no mail was queued when the disk was searched"
        if state["clear"]:
            return state["clear"]
        print(f"     {state['queued']} messages were queued when the disk was searched")

    check("no content in clear on disk while mail is queued", at_rest)

    def nothing_lost():
        wanted = set(load.acknowledged)
        if len(wanted) < ROUNDS:
            return f"only {len(wanted)} messages were acknowledged"
        try:
            world.wait_for("rest of the ledger", 120, lambda: wanted <= {each for each, _ in ledger(w)})
        except TimeoutError:
            lost = wanted - {each for each, _ in ledger(w)}
            return f"{len(lost)} of {len(wanted)} acknowledged messages lost: {sorted(lost)[:5]}"
        took = collections.Counter(each for each, _ in ledger(w))
        more = sum(took.values()) - len(took)
        print(f"     {len(wanted)} acknowledged, {len(took)} delivered, {more} duplicates in {ROUNDS} kills")

    check("no acknowledged message is lost", nothing_lost)
    check("no half message was delivered",
          lambda: [each for each, how in ledger(w) if how != "whole"] or None)

    def drained():
        world.wait_for("empty queue", 60, lambda: not daemon.waiting())
        code = daemon.stop()
        return None if code == 0 else f"exit code {code}: {tail(daemon.output)}"

    check("the queue empties, and the daemon stops in peace", drained)
    check("no content in clear afterwards", lambda: contains(daemon.directory, needles) or None)
    check("nothing panicked in any round",
          lambda: None if "panicked" not in daemon.output.read_text(errors="replace") else tail(daemon.output))
