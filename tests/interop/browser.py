"""The portal in a real Chromium: sets the stage, runs browser.js, takes in its verdicts."""

import json
import os
import pathlib
import shutil
import subprocess

import world
from daemon import HOST as MAIL_HOST
from daemon import PASSWORD, USER
from portal import HOST, Deployment

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PACKAGES = ["playwright-core@1.65.1", "axe-core@4.14.1"]
LIMIT_SECONDS = 900


def profile(scratch, authority):
    """A home directory whose Chromium trusts the test authority: passkeys need that."""
    home = scratch / "home"
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    world.run("certutil", "-N", "-d", f"sql:{database}", "--empty-password")
    world.run("certutil", "-A", "-d", f"sql:{database}", "-n", "interop", "-t", "C,,", "-i", str(authority.ca))
    return home


def modules(scratch):
    """The driver and the accessibility rules, from npm; where they lie."""
    folder = scratch / "npm"
    folder.mkdir()
    (folder / "package.json").write_text('{"name": "interop", "private": true}\n')
    done = subprocess.run(["npm", "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES],
                          cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"npm: {done.stderr[-1500:]}")
    return folder / "node_modules"


def checks(check, w, binary, only=()):
    d = Deployment(w, binary, "browser")
    d.start()
    shots = pathlib.Path(os.environ.get("SEALPOST_SHOTS") or w.scratch / "shots")
    shots.mkdir(parents=True, exist_ok=True)
    node_modules = modules(w.scratch)
    parameters = w.scratch / "browser.json"
    parameters.write_text(json.dumps({
        "url": d.portal.url, "host": HOST, "ca": str(w.authority.ca), "submission": d.daemon.implicit, "user": USER,
        "password": PASSWORD, "mail_host": MAIL_HOST, "box": str(w.postfix.box), "binary": str(binary),
        "config": str(d.daemon.config), "texts": str(ROOT / "src/locale/pages"), "shots": str(shots),
        "axe": str(node_modules / "axe-core/axe.min.js"), "hostile": str(ROOT / "tests/data/mxss/payloads.json"),
        "chromium": shutil.which("chromium"), "home": str(profile(w.scratch, w.authority)),
    }))
    environment = {**os.environ, "NODE_PATH": f"{node_modules}:/usr/share/nodejs"}
    with open(w.scratch / "browser.log", "wb") as errors:
        child = subprocess.Popen(["node", str(HERE / "browser.js"), str(parameters), *only], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=errors, env=environment, text=True)
        w.processes.append(world.Process.of(child))
        for line in child.stdout:
            verdict = json.loads(line)
            check(f"browser: {verdict['name']}", lambda: verdict["why"] or True)
        code = child.wait(LIMIT_SECONDS)
    check("browser: it ran to its end", lambda: code == 0 or (w.scratch / "browser.log").read_text()[-1500:])
