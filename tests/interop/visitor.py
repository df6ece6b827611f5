"""A person at the portal, without a browser: pages, forms and cookies over HTTPS, and the mailbox
that notices and codes arrive in."""

import email
import email.policy
import html.parser
import http.client
import re
import ssl
import time
import urllib.parse

import world


class Page(html.parser.HTMLParser):
    """A page taken apart: its forms, links and text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.forms, self.links, self.frames, self.words, self.titles = [], [], [], [], []
        self.language = None
        self._form = self._area = self._choice = None
        self._hidden = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        has = dict(attrs)
        if tag == "html":
            self.language = has.get("lang")
        if tag == "form":
            self._form = {"action": has.get("action", ""), "method": has.get("method", "get").lower(),
                          "enctype": has.get("enctype", ""), "fields": [], "buttons": []}
            self.forms.append(self._form)
        elif tag == "a" and has.get("href"):
            self.links.append(has["href"])
        elif tag == "iframe" and has.get("src"):
            self.frames.append(has["src"])
        elif tag == "input" and self._form is not None:
            kind = has.get("type", "text")
            if kind in ("submit", "image"):
                self._form["buttons"].append((has.get("name"), has.get("value", "")))
            elif kind not in ("checkbox", "radio") or "checked" in has:
                self._form["fields"].append({"name": has.get("name"), "value": has.get("value", ""), "type": kind,
                                             "autocomplete": has.get("autocomplete", "")})
        elif tag == "button" and self._form is not None and has.get("type", "submit") == "submit":
            self._form["buttons"].append((has.get("name"), has.get("value", "")))
        elif tag == "textarea" and self._form is not None:
            self._area = {"name": has.get("name"), "value": "", "type": "textarea", "autocomplete": ""}
            self._form["fields"].append(self._area)
        elif tag == "select" and self._form is not None:
            self._choice = {"name": has.get("name"), "value": "", "type": "select", "autocomplete": ""}
            self._form["fields"].append(self._choice)
        elif tag == "option" and self._choice is not None and ("selected" in has or not self._choice["value"]):
            self._choice["value"] = has.get("value", "")
        if tag in ("script", "style", "title"):
            self._hidden += 1
            if tag == "title":
                self.titles.append("")

    def handle_endtag(self, tag):
        if tag == "form":
            self._form = None
        elif tag == "textarea":
            self._area = None
        elif tag == "select":
            self._choice = None
        if tag in ("script", "style", "title"):
            self._hidden = max(0, self._hidden - 1)

    def handle_data(self, data):
        if self._area is not None:
            self._area["value"] += data
        elif self._hidden:
            if self.titles and not self.titles[-1]:
                self.titles[-1] = data
        elif data.strip():
            self.words.append(data.strip())

    def text(self):
        return " ".join(self.words)

    def form(self, *parts):
        """The first form whose action holds one of `parts`; the first of all without any."""
        for each in self.forms:
            if not parts or any(part in each["action"] for part in parts):
                return each
        raise AssertionError(f"no form for {parts} in: {self.text()[:400]}")


class Answer:
    """What the portal answered."""

    def __init__(self, status, headers, body, path):
        self.status, self.headers, self.body, self.path = status, headers, body, path

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def page(self):
        return Page(self.body.decode("utf-8", "replace"))


class Visitor:
    """A browser without scripts: keeps cookies, follows redirects, sends what a form has."""

    def __init__(self, portal, agent="Mozilla/5.0 (X11; Linux x86_64) interop", source=None):
        self.portal, self.agent, self.source = portal, agent, source
        self.cookies = {}

    def request(self, method, path, body=None, headers=None, follow=True):
        for _ in range(8):
            answer = self._once(method, path, body, headers or {})
            if not follow or answer.status not in (301, 302, 303, 307, 308):
                return answer
            path = urllib.parse.urljoin(self.portal.url + path, answer.header("Location"))
            if not path.startswith(self.portal.url + "/"):
                raise AssertionError(f"led elsewhere: {path}")
            method, path, body, headers = "GET", path[len(self.portal.url):], None, {}
        raise AssertionError(f"goes in circles at {path}")

    def _once(self, method, path, body, headers):
        connection = http.client.HTTPSConnection(
            self.portal.host, self.portal.port, timeout=90, context=self.portal.context, source_address=self.source)
        connection.sock = self.portal.connect(self.source)
        sent = {"Host": self.portal.authority, "User-Agent": self.agent, "Accept": "text/html",
                "Accept-Language": "en", "Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Site": "same-origin", "Sec-Fetch-User": "?1"}
        if method == "POST":
            sent["Origin"] = self.portal.url
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent.update(headers)
        sent = {name: value for name, value in sent.items() if value is not None}
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        data = response.read()
        for name, value in response.getheaders():
            if name.lower() == "set-cookie":
                pair = value.split(";", 1)[0]
                key, _, text = pair.partition("=")
                if not text or "max-age=0" in value.lower():
                    self.cookies.pop(key, None)
                else:
                    self.cookies[key] = text
        connection.close()
        return Answer(response.status, response.getheaders(), data, path)

    def get(self, path, **how):
        return self.request("GET", path, **how)

    def submit(self, form, base="/", button=None, headers=None, files=(), **values):
        """Sends a form: hidden fields as they are, `values` by name, by autocomplete or by type."""
        pairs, left = [], dict(values)
        for field in form["fields"]:
            if not field["name"] or field["type"] == "file":
                continue
            value = field["value"]
            for key in (field["name"], field["autocomplete"].replace("-", "_"), field["type"]):
                if key in left:
                    value = left[key]
                    break
            pairs.append((field["name"], value))
        chosen = form["buttons"][0] if form["buttons"] and button is None else button
        if chosen and chosen[0]:
            pairs.append(chosen)
        path = urllib.parse.urljoin(self.portal.url + base, form["action"] or base)[len(self.portal.url):]
        sent = dict(headers or {})
        if "multipart" in form["enctype"]:
            name = next((each["name"] for each in form["fields"] if each["type"] == "file"), "file")
            boundary = "----interop7f3a"
            body = b"".join(f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
                            for key, value in pairs)
            for title, kind, data in files:
                body += (f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{title}"\r\n'
                         f"Content-Type: {kind}\r\n\r\n").encode() + data + b"\r\n"
            body += f"--{boundary}--\r\n".encode()
            sent.setdefault("Content-Type", f"multipart/form-data; boundary={boundary}")
        else:
            body = urllib.parse.urlencode(pairs).encode()
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        return self.request("POST", path, body, sent)

    def ask_code(self, reference):
        """Presses the button behind the link in the notice."""
        page = self.get(f"/m/{reference}")
        return self.submit(page.page.form(f"/m/{reference}"), page.path)

    def read(self, reference):
        """The message, for somebody who is signed in."""
        return self.get(f"/box/{reference}")

    def sign_in(self, reference, mailbox, recipient):
        """From the link in the notice to the page behind the code."""
        seen = mailbox.codes(recipient)
        answer = self.ask_code(reference)
        code = mailbox.next_code(recipient, seen)
        for _ in range(10):
            form = next(each for each in answer.page.forms
                        if any(field["autocomplete"] == "one-time-code" for field in each["fields"]))
            answer = self.submit(form, answer.path, one_time_code=code)
            # Whoever is faster than the report of how the code's mail travelled is asked once more.
            if answer.status != 422 or "in a moment" not in answer.page.text():
                break
            time.sleep(0.3)
        return answer


class Portal:
    """Where the portal under test is, and how to reach it."""

    def __init__(self, host, port, ca):
        self.host, self.port = host, port
        self.authority = f"{host}:{port}"
        self.url = f"https://{host}:{port}"
        self.context = ssl.create_default_context(cafile=str(ca))

    def connect(self, source=None):
        import socket
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=90, source_address=source)
        return self.context.wrap_socket(raw, server_hostname=self.host)


class Mailbox:
    """What Postfix delivered, read as the recipients would."""

    # Nothing that the portal's checks look for is larger; other parts send what is.
    MOST_OCTETS = 500_000

    def __init__(self, postfix):
        self.folder = postfix.box / "new"
        self.known = {}

    def _all(self):
        """Every mail, read once."""
        for path in sorted(self.folder.glob("*")) if self.folder.exists() else []:
            if path.name not in self.known:
                small = path.stat().st_size <= self.MOST_OCTETS
                raw = path.read_bytes() if small else b""
                self.known[path.name] = email.message_from_bytes(raw, policy=email.policy.default)
        return [self.known[name] for name in sorted(self.known)]

    def mails(self, recipient):
        found = []
        for mail in self._all():
            if recipient in str(mail["Delivered-To"]) + str(mail["X-Original-To"]) + str(mail["To"]):
                found.append(mail)
        return found

    @staticmethod
    def text(mail):
        part = mail.get_body(("plain",))
        return part.get_content() if part else ""

    def codes(self, recipient):
        """Every code that was mailed, in no order."""
        found = []
        for mail in self.mails(recipient):
            for digits in re.findall(r"\b(\d{4})[ \u00a0-]?(\d{4})\b", self.text(mail)):
                found.append("".join(digits))
        return found

    def next_code(self, recipient, seen, limit=30):
        def fresh():
            return [code for code in self.codes(recipient) if code not in seen]
        return world.wait_for(f"code for {recipient}", limit, fresh)[0]

    def reference(self, recipient, known=(), limit=30):
        """The reference in a notice to a recipient that is not among `known`."""
        def look():
            for mail in self.mails(recipient):
                for found in re.findall(r"/m/([0-9A-HJKMNP-TV-Z]{16})\b", self.text(mail)):
                    if found not in known:
                        return found
            return None
        return world.wait_for(f"notice to {recipient}", limit, look)
