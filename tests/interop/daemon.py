"""sealpost under test: its configuration, its accounts and keys, its process and its delivery log."""

import json
import os
import pathlib
import subprocess

import world

HOST = "mail.clinic.test"
USER, PASSWORD = "app", "correct-horse-9f3a"
SENDER = "billing@clinic.test"


class Daemon:
    """One sealpost with a directory of its own."""

    def __init__(self, binary, directory, world_, retry, extra=""):
        self.binary = binary
        self.directory = directory
        directory.mkdir()
        self.authority = world_.authority
        self.ports = [world.free_port(["127.0.0.1"]) for _ in range(2)]
        self.implicit, self.starttls = self.ports
        self.data = directory / "data"
        self.log = directory / "delivery.jsonl"
        self.output = directory / "output.log"
        self.config = directory / "sealpost.toml"
        self.process = None
        certificate, key = world_.pair(f"submission-{directory.name}", [HOST, "127.0.0.1"])
        self.dkim = {}
        sections = ""
        for selector, algorithm in (("r", "rsa"), ("e", "ed25519")):
            path = directory / f"{selector}.pem"
            self.command("dkim", "keygen", "--domain", "clinic.test", "--selector", selector,
                         "--algorithm", algorithm, "--out", path, config=False)
            self.dkim[selector] = path
            sections += f'[[dkim]]\ndomain = "clinic.test"\nselector = "{selector}"\nprivate_key = "{path}"\n'
        self.config.write_text(f"""
hostname = "{HOST}"
data_directory = "{self.data}"
master_key = "{directory}/master.key"
postmaster = "postmaster@clinic.test"
[[listener]]
address = "127.0.0.1:{self.implicit}"
tls = "implicit"
[[listener]]
address = "127.0.0.1:{self.starttls}"
tls = "starttls"
[tls]
certificate = "{certificate}"
private_key = "{key}"
[auth]
users = "{directory}/users.toml"
{sections}
[dns]
servers = ["127.0.0.1:{world_.nsd.port}"]
[relay]
port = {world_.port}
ca_file = "{self.authority.ca}"
allow_private_addresses = true
[retry]
{retry}
[log]
delivery = "{self.log}"
[admin]
socket = "{directory}/admin.sock"
{extra}
""")
        self.data.mkdir(mode=0o700)
        self.command("key", "generate", directory / "master.key", config=False)
        self.command("user", "add", USER, "--sender", SENDER, "--sender", "*@lab.clinic.test",
                     "--password-stdin", stdin=PASSWORD + "\n")

    def command(self, *argv, config=True, stdin=None, check=True):
        """Runs a command of sealpost: its CompletedProcess."""
        argv = [str(self.binary), *map(str, argv)] + (["--config", str(self.config)] if config else [])
        source = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, **source)
        if check and done.returncode != 0:
            raise RuntimeError(f"{argv[1:4]} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def start(self):
        """Starts the daemon; returns when both of its listeners answer."""
        self.process = world.Process(self.output, self.binary, "serve", "--config", self.config)

        def up():
            if not self.process.alive():
                raise RuntimeError(f"serve ended: {tail(self.output)}")
            return all(world.listening("127.0.0.1", port) for port in self.ports)

        world.wait_for("listener", 30, up)

    def kill(self):
        self.process.child.kill()
        self.process.child.wait()

    def stop(self):
        """Asks the daemon to drain; its exit code."""
        return self.process.stop(limit=60) if self.process else None

    def events(self):
        """The delivery log, line by line; a line that is not JSON is an error."""
        if not self.log.exists():
            return []
        text = self.log.read_text(encoding="utf-8")
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def of(self, queue_id, *kinds):
        """The events of one message, of these kinds."""
        return [each for each in self.events() if each.get("queue_id") == queue_id and each["event"] in kinds]

    def await_event(self, queue_id, *kinds, limit=20):
        return world.wait_for(f"{'/'.join(kinds)} of {queue_id}", limit, lambda: self.of(queue_id, *kinds))[0]

    def waiting(self):
        """What `queue list --json` shows: a list of messages."""
        return json.loads(self.command("queue", "list", "--json").stdout)["entries"]

    def dkim_records(self):
        """selector → the TXT value, as `dkim record` prints it."""
        return {selector: txt_value(self.command("dkim", "record", path, config=False).stdout)
                for selector, path in self.dkim.items()}


def txt_value(printed):
    """The value in a printed TXT record, whether or not it is cut into strings."""
    value = printed[printed.index("v=DKIM1"):]
    return "".join(value.replace('"', " ").replace(")", " ").split()).replace(";", "; ").strip()


def tail(path):
    return pathlib.Path(path).read_text(errors="replace")[-2000:]


def contains(directory, needles):
    """The files below `directory` that hold one of `needles`."""
    found = []
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    data = file.read()
                found.extend(f"{path}: {needle[:24]!r}" for needle in needles if needle in data)
    return found
