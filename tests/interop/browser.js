// People at the portal, in a real Chromium: what they see, click and type. Called by browser.py with
// the path of its parameters; prints a line of JSON for each check.
"use strict";

const { execFileSync } = require("node:child_process");
const crypto = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const nodemailer = require("nodemailer");
const { chromium } = require("playwright-core");

const p = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const axe = fs.readFileSync(p.axe, "utf8");
const PHONE = { width: 390, height: 844 };
const DESK = { width: 1280, height: 900 };
const LIMIT_MS = 15000;

// ------------------------------------------------------------------ texts

function table(language) {
  const found = {};
  for (const line of fs.readFileSync(path.join(p.texts, `${language}.toml`), "utf8").split("\n")) {
    const parts = /^"([^"]+)"\s*=\s*(".*")\s*$/.exec(line);
    if (parts) found[parts[1]] = JSON.parse(parts[2]);
  }
  return found;
}
const tables = Object.fromEntries(["en", "es", "de", "fr", "zh"].map((each) => [each, table(each)]));
const t = (key, language = "en") => {
  const text = tables[language][key];
  if (!text) throw new Error(`no text ${key} in ${language}`);
  return text;
};

// ------------------------------------------------------------------ mail

const mailer = nodemailer.createTransport({
  host: "127.0.0.1", port: p.submission, secure: true, pool: true, maxConnections: 1,
  auth: { user: p.user, pass: p.password }, tls: { ca: fs.readFileSync(p.ca), servername: p.mail_host },
});

function decoded(part) {
  const cut = part.search(/\r?\n\r?\n/);
  const head = part.slice(0, cut), body = part.slice(cut).trimStart();
  if (/content-transfer-encoding:\s*base64/i.test(head)) return Buffer.from(body, "base64").toString("utf8");
  if (!/content-transfer-encoding:\s*quoted-printable/i.test(head)) return body;
  const octets = body.replace(/=\r?\n/g, "").replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(octets, "latin1").toString("utf8");
}

// Every mail, read once. Nothing that is looked for here is larger than that; other checks send what is.
const known = new Map();
const MOST_OCTETS = 500000;

function read(file) {
  const { mtimeMs, size } = fs.statSync(file);
  const raw = size <= MOST_OCTETS ? fs.readFileSync(file, "latin1") : "";
  const boundary = /boundary="?([^"\r\n;]+)/i.exec(raw);
  const parts = boundary ? raw.split(`--${boundary[1]}`).slice(1, -1).map((part) => part.trimStart()) : [raw];
  return { time: mtimeMs, raw, head: raw.slice(0, raw.search(/\r?\n\r?\n/)), text: parts.map(decoded).join("\n") };
}

// Mails to `recipient`, oldest first: header and text.
function mails(recipient) {
  const box = path.join(p.box, "new");
  if (!fs.existsSync(box)) return [];
  for (const name of fs.readdirSync(box)) {
    if (!known.has(name)) known.set(name, read(path.join(box, name)));
  }
  return [...known.values()].filter(({ head }) => head.includes(recipient)).sort((a, b) => a.time - b.time);
}

async function until(what, look, limit = LIMIT_MS) {
  const end = Date.now() + limit;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`no ${what} within ${limit} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const codesOf = (recipient) => mails(recipient)
  .flatMap(({ text }) => [...text.matchAll(/\b(\d{4})[ \u00a0-]?(\d{4})\b/g)].map((found) => found[1] + found[2]));

const references = (recipient) => [...new Set(mails(recipient)
  .flatMap(({ text }) => [...text.matchAll(/\/m\/([0-9A-HJKMNP-TV-Z]{16})\b/g)].map((found) => found[1])))];

const CANARY = "Rhamphorhynchus muensteri 2290";
const SUBJECT = "Findings of Tuesday";

// Sends a message; the reference under which it waits.
async function leave(recipient, options = {}) {
  const known = references(recipient);
  await mailer.sendMail({
    from: "Billing <billing@clinic.test>", to: recipient, subject: options.subject ?? SUBJECT,
    text: `Dear patient,\n\nthe finding is ${CANARY}.\n\nKind regards\nBilling\n`,
    html: `<p>Dear patient,</p><p>the finding is <b>${CANARY}</b>.</p><table><tr><td>Iron</td><td>14</td></tr></table>`,
    attachments: [{ filename: "report.txt", content: "Iron 14, all is well.\n" },
      { filename: "picture.png", content: Buffer.from(PNG, "base64"), contentType: "image/png" }],
    ...options.mail,
  });
  return until(`notice to ${recipient}`, () => references(recipient).find((each) => !known.includes(each)));
}
const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

function pickup(...argv) {
  const printed = execFileSync(p.binary, ["pickup", ...argv, "--json", "--config", p.config], { encoding: "utf8" });
  const value = JSON.parse(printed);
  const list = Array.isArray(value) ? value : value.items ?? [value];
  return list[0];
}

// ------------------------------------------------------------------ browser

let browser;
const shots = new Set();

// Takes a picture and lets axe look at the page.
async function look(page, name) {
  const size = page.viewportSize();
  const shot = `${name}-${size.width}`;
  if (!shots.has(shot)) {
    shots.add(shot);
    await page.screenshot({ path: path.join(p.shots, `${shot}.png`), fullPage: true });
  }
  const found = await page.evaluate(`${axe}; axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })`);
  if (found.violations.length) {
    const told = found.violations.map((each) => `${each.id}: ${each.nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`);
    throw new Error(`axe at ${name}: ${told.join("; ")}`);
  }
  const wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
  if (wide > 1) throw new Error(`${name} is ${wide} px wider than the window of ${size.width}`);
}

// A new browser profile with a page; whatever goes wrong on it is noted.
async function visit(options = {}) {
  const context = await browser.newContext({ viewport: DESK, locale: "en-US", acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT_MS);
  const wrong = [];
  page.on("console", (message) => {
    // axe and the status of an answer are no business of the page.
    if (message.type() === "error" && !/Failed to load resource/.test(message.text())) wrong.push(message.text());
  });
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (!["data:", "blob:", "about:"].includes(url.protocol) && url.origin !== p.url) wrong.push(`went to ${request.url()}`);
  });
  return { context, page, wrong, async end() {
    await context.close();
    if (wrong.length) throw new Error(`the browser complained: ${wrong.join("; ").slice(0, 600)}`);
  } };
}

const button = (page, key, language) => page.getByRole("button", { name: t(key, language), exact: true });
const field = (page, key, language) => page.getByLabel(t(key, language), { exact: true });

async function askCode(page, reference, recipient, language = "en") {
  const seen = codesOf(recipient);
  await page.goto(`${p.url}/m/${reference}`);
  await button(page, "waits.button", language).click();
  return until(`code for ${recipient}`, () => codesOf(recipient).find((each) => !seen.includes(each)));
}

async function typeCode(page, code, language = "en") {
  await field(page, "code.label", language).fill(code);
  await button(page, "code.button", language).click();
  for (let turn = 0; turn < 20; turn += 1) {
    const waiting = await page.getByText(t("code.travelling", language)).count();
    if (!waiting) return;
    await page.waitForTimeout(250);
    await field(page, "code.label", language).fill(code);
    await button(page, "code.button", language).click();
  }
}

async function signIn(page, reference, recipient, language) {
  await typeCode(page, await askCode(page, reference, recipient, language), language);
}

async function onward(page, language = "en") {
  const confirm = page.getByRole("link", { name: t("confirm.button", language), exact: true });
  if (await confirm.count()) await confirm.click();
}

// On from a page that asks whether to read, if there is one.
async function toMessage(page, reference, language = "en") {
  if (!(await page.getByText(CANARY).count())) await page.goto(`${p.url}/m/${reference}`);
  await onward(page, language);
  await page.getByText(CANARY).first().waitFor();
}

function totp(secret, step = Math.floor(Date.now() / 30000)) {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  let bits = "";
  for (const letter of secret.replace(/[\s=]/g, "")) bits += alphabet.indexOf(letter).toString(2).padStart(5, "0");
  const key = Buffer.from(bits.match(/.{8}/g).map((each) => parseInt(each, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const mac = crypto.createHmac("sha1", key).update(counter).digest();
  const at = mac[19] & 15;
  return String((mac.readUInt32BE(at) & 0x7fffffff) % 1000000).padStart(6, "0");
}

async function text(download) {
  return fs.readFileSync(await download.path());
}

// ------------------------------------------------------------------ checks

const checks = {};

async function firstVisit(viewport, options, recipient) {
  const reference = await leave(recipient);
  const { page, end } = await visit({ viewport, ...options });
  const code = await askCode(page, reference, recipient);
  await look(page, "code");
  await page.goBack();
  await look(page, "waits");
  await page.goForward();
  await typeCode(page, code);
  await toMessage(page, reference);
  await look(page, "message");
  const [report] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: /report\.txt/ }).first().click()]);
  const found = String(await text(report));
  if (!found.includes("Iron 14")) throw new Error(`the attachment is another: ${found.slice(0, 200)}`);
  const [zip] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: t("message.zip") }).click()]);
  if ((await text(zip)).subarray(0, 2).toString() !== "PK") throw new Error("the zip is none");
  const [original] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: t("message.original") }).click()]);
  if (!String(await text(original)).includes(`Subject: ${SUBJECT}`)) throw new Error("the original is another");
  await page.getByRole("link", { name: t("message.view_html"), exact: true }).click();
  const frame = page.frameLocator("iframe");
  await frame.getByText(CANARY).waitFor();
  await look(page, "html");
  const sandbox = await page.locator("iframe").getAttribute("sandbox");
  if (sandbox === null || /allow-(scripts|same-origin)/.test(sandbox)) throw new Error(`sandbox is ${sandbox}`);
  await page.goto(`${p.url}/m/${reference}`);
  await onward(page);
  await page.getByRole("link", { name: t("message.print"), exact: true }).click();
  await page.getByText(CANARY).first().waitFor();
  await look(page, "print");
  await page.goto(`${p.url}/m/${reference}`);
  await onward(page);
  await page.getByRole("link", { name: t("message.reply"), exact: true }).first().click();
  await look(page, "reply");
  const words = `Thank you from a window of ${viewport.width} pixels.`;
  await field(page, "reply.text").fill(words);
  await page.locator("input[type=file]").setInputFiles({ name: "answer.txt", mimeType: "text/plain", buffer: Buffer.from("my answer") });
  await button(page, "reply.button").click();
  await page.getByRole("heading", { name: t("replied.title") }).waitFor();
  await look(page, "replied");
  const arrived = await until("reply", () => mails("billing@clinic.test").find(({ text: all }) => all.includes(words)));
  if (!arrived.raw.includes("answer.txt")) throw new Error("the reply has no attachment");
  await page.getByRole("link", { name: t("nav.messages"), exact: true }).first().click();
  await look(page, "mailbox");
  await page.getByRole("link", { name: t("nav.sent"), exact: true }).first().click();
  await look(page, "sent");
  await page.getByRole("link", { name: t("nav.account"), exact: true }).first().click();
  await look(page, "account");
  await button(page, "nav.sign_out").click();
  await page.getByRole("heading", { name: t("signedout.title") }).waitFor();
  await look(page, "signedout");
  await page.goBack();
  if (await page.getByText(CANARY).count()) throw new Error("the back button shows the message");
  await end();
}

checks["first visit on a desktop: code, read, download, reply, which arrives at the sender"] =
  () => firstVisit(DESK, {}, "desk@selfsigned.test");
checks["the same on a phone"] =
  () => firstVisit(PHONE, { isMobile: true, hasTouch: true }, "phone@selfsigned.test");
checks["the same in a dark window of 320 pixels"] =
  () => firstVisit({ width: 320, height: 640 }, { colorScheme: "dark" }, "dark@selfsigned.test");

async function register(page, reference, recipient, password) {
  await signIn(page, reference, recipient);
  await field(page, "newpass.label").waitFor();
  await look(page, "newpass");
  await field(page, "newpass.label").fill("short");
  await field(page, "newpass.repeat").fill("short");
  await button(page, "newpass.button").click();
  await page.getByText(t("newpass.short").split("{")[0]).waitFor();
  await look(page, "newpass-error");
  await field(page, "newpass.label").fill(password);
  await field(page, "newpass.repeat").fill(password);
  await button(page, "newpass.button").click();
  await toMessage(page, reference);
}

async function withPassword(page, reference, password) {
  await page.goto(`${p.url}/m/${reference}`);
  const link = page.getByRole("link", { name: t("ways.password") });
  const other = button(page, "ways.password");
  if (await link.count()) await link.first().click(); else await other.first().click();
  const address = page.getByLabel(t("start.address"), { exact: true });
  if (await address.count() && await address.isEditable() && !(await address.inputValue())) throw new Error("the address is asked for again");
  await look(page, "password");
  await field(page, "password.label").fill(password);
  await button(page, "password.button").click();
}

checks["confidential: a password is registered, and opens the next message"] = async () => {
  const recipient = "pass@selfsigned.test", password = "four quiet wooden boats";
  const first = await leave(recipient, { subject: "Confidential case" });
  const one = await visit();
  await register(one.page, first, recipient, password);
  await one.end();
  const second = await leave(recipient, { subject: "Confidential case again" });
  const two = await visit();
  await withPassword(two.page, second, "four quiet wooden goats");
  await two.page.getByText(t("password.wrong")).waitFor();
  await look(two.page, "password-wrong");
  await field(two.page, "password.label").fill(password);
  await button(two.page, "password.button").click();
  // A password alone is not enough for this level where nobody has shown the mailbox.
  await two.page.waitForLoadState();
  if (!(await two.page.getByText(CANARY).count())) {
    const seen = codesOf(recipient);
    const ask = button(two.page, "waits.button").or(button(two.page, "ways.mail"));
    if (await ask.count()) await ask.first().click();
    // Codes to one mailbox are a minute apart.
    const code = await until("code", async () => {
      const found = codesOf(recipient).find((each) => !seen.includes(each));
      if (!found) {
        await two.page.waitForTimeout(4000);
        if (await button(two.page, "code.resend").count()) await button(two.page, "code.resend").click();
      }
      return found;
    }, 100000);
    await typeCode(two.page, code);
  }
  await toMessage(two.page, second);
  await two.end();
};

// A change of the account takes the password once more, and leads back to where it began.
async function confirmChange(page, password) {
  await page.getByText(t("account.stronger")).waitFor();
  await look(page, "stronger");
  await page.getByRole("link", { name: t("ways.password"), exact: true }).first().click();
  await field(page, "password.label").fill(password);
  await button(page, "password.button").click();
}

async function setUpApp(page, password) {
  await page.getByRole("link", { name: t("nav.account"), exact: true }).first().click();
  const open = page.getByRole("link", { name: t("account.totp_setup"), exact: true }).or(button(page, "account.totp_setup"));
  await open.first().click();
  await confirmChange(page, password);
  await page.getByRole("heading", { name: t("totp_setup.title") }).waitFor();
  await look(page, "totp-setup");
  const secret = (await page.locator("main").innerText()).match(/\b(?:[A-Z2-7]{4}[ \u00a0]?){8}/)[0];
  await field(page, "totp.label").fill(totp(secret));
  await button(page, "totp_setup.button").click();
  await page.getByText(t("totp_setup.done")).first().waitFor();
  return secret;
}

checks["an authenticator app is set up, and opens what is restricted"] = async () => {
  const recipient = "totp@selfsigned.test", password = "three patient grey herons";
  const first = await leave(recipient, { subject: "Confidential case" });
  const one = await visit();
  await register(one.page, first, recipient, password);
  const secret = await setUpApp(one.page, password);
  await one.end();
  const second = await leave(recipient, { subject: "Restricted case" });
  const two = await visit({ viewport: PHONE });
  await withPassword(two.page, second, password);
  await two.page.waitForLoadState();
  const way = two.page.getByRole("link", { name: t("ways.totp") }).or(button(two.page, "ways.totp"));
  if (!(await two.page.getByLabel(t("totp.label"), { exact: true }).count()) && await way.count()) await way.first().click();
  await field(two.page, "totp.label").waitFor();
  await look(two.page, "totp");
  await field(two.page, "totp.label").fill(totp(secret, Math.floor(Date.now() / 30000) + 1));
  await button(two.page, "totp.button").click();
  await toMessage(two.page, second);
  await two.end();
};

checks["a passkey is registered with a virtual authenticator, and opens what is restricted"] = async () => {
  const recipient = "key@selfsigned.test", password = "nine slow silver trains";
  const first = await leave(recipient, { subject: "Confidential case" });
  const { context, page, end } = await visit();
  const client = await context.newCDPSession(page);
  await client.send("WebAuthn.enable");
  await client.send("WebAuthn.addVirtualAuthenticator", { options: {
    protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
    automaticPresenceSimulation: true } });
  await register(page, first, recipient, password);
  await page.getByRole("link", { name: t("nav.account"), exact: true }).first().click();
  await page.getByRole("link", { name: t("account.passkey_add"), exact: true }).or(button(page, "account.passkey_add")).first().click();
  await confirmChange(page, password);
  await field(page, "passkey_add.name").waitFor();
  await look(page, "passkey-add");
  await field(page, "passkey_add.name").fill("my phone");
  await button(page, "passkey_add.button").click();
  await page.getByText("my phone").first().waitFor();
  await look(page, "account-passkey");
  await button(page, "nav.sign_out").click();
  const second = await leave(recipient, { subject: "Restricted case" });
  await page.goto(`${p.url}/m/${second}`);
  await page.getByRole("link", { name: t("ways.passkey") }).or(button(page, "ways.passkey")).first().click();
  await look(page, "passkey");
  const use = button(page, "passkey.button");
  if (await use.count()) await use.click();
  await toMessage(page, second);
  await end();
};

checks["a wrong code, a code too often, and the pause that follows"] = async () => {
  const recipient = "wrong@selfsigned.test";
  const reference = await leave(recipient);
  const { page, end } = await visit({ viewport: PHONE });
  const code = await askCode(page, reference, recipient);
  let paused = false;
  for (let guess = 1; guess < 12 && !paused; guess += 1) {
    await field(page, "code.label").fill(String((Number(code) + guess) % 100000000).padStart(8, "0"));
    await button(page, "code.button").click();
    await page.waitForLoadState();
    paused = (await page.getByRole("heading", { name: t("locked.title") }).count()) > 0;
    if (guess === 1 && !paused) {
      await page.getByText(t("code.wrong")).waitFor();
      await look(page, "code-wrong");
    }
  }
  if (!paused) throw new Error("nobody was slowed");
  await look(page, "locked");
  if (pickup("show", reference).state !== "waiting") throw new Error("it was opened");
  await end();
};

checks["a message that was retracted, and one that has expired"] = async () => {
  const recipient = "gone@selfsigned.test";
  const first = await leave(recipient), second = await leave(recipient);
  pickup("retract", second, "--reason", "wrong patient");
  const { page, end } = await visit({ viewport: PHONE });
  await signIn(page, first, recipient);
  await toMessage(page, first);
  await page.goto(`${p.url}/m/${second}`);
  await onward(page);
  await page.getByRole("heading", { name: t("retracted.title") }).waitFor();
  await look(page, "retracted");
  const third = await leave(recipient);
  pickup("extend", third, "--until", new Date(Date.now() + 2000).toISOString(), "--reason", "test");
  await until("expiry", () => pickup("show", third).state === "expired");
  await page.goto(`${p.url}/m/${third}`);
  await onward(page);
  await page.getByRole("heading", { name: t("expired.title") }).waitFor();
  await look(page, "expired");
  await end();
};

for (const language of ["es", "de", "fr", "zh"]) {
  checks[`a visit in ${language}`] = async () => {
    const recipient = `speaks-${language}@selfsigned.test`;
    const reference = await leave(recipient, { mail: { headers: { "X-Sealpost-Language": language } } });
    const { page, end } = await visit({ viewport: PHONE, locale: language });
    const code = await askCode(page, reference, recipient, language);
    if (!(await page.locator("html").getAttribute("lang")).startsWith(language)) throw new Error("lang is another");
    await look(page, `code-${language}`);
    await typeCode(page, code, language);
    await toMessage(page, reference, language);
    await look(page, `message-${language}`);
    await end();
  };
}

checks["with the keyboard alone"] = async () => {
  const recipient = "keys@selfsigned.test";
  const reference = await leave(recipient);
  const { page, end } = await visit();
  await page.goto(`${p.url}/m/${reference}`);
  const seen = codesOf(recipient);
  const reach = async (wanted) => {
    for (let turn = 0; turn < 40; turn += 1) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(`(() => {
        const it = document.activeElement, style = getComputedStyle(it);
        const label = it.labels && it.labels.length ? it.labels[0].innerText : "";
        return { name: (it.innerText || it.value || label || "").trim(), label: label.trim(),
          seen: style.outlineStyle !== "none" || style.boxShadow !== "none" };
      })()`);
      if (at.name === wanted || at.label.startsWith(wanted)) {
        if (!at.seen) throw new Error(`the focus on "${wanted}" cannot be seen`);
        return;
      }
    }
    throw new Error(`"${wanted}" is not reached`);
  };
  await reach(t("waits.button"));
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: t("code.title") }).waitFor();
  const code = await until("code", () => codesOf(recipient).find((each) => !seen.includes(each)));
  const focused = await page.evaluate("document.activeElement.autocomplete || ''");
  if (focused !== "one-time-code") await reach(t("code.label"));
  await page.keyboard.type(code);
  await page.keyboard.press("Enter");
  await page.waitForLoadState();
  await typeOn(page, code);
  await toMessage(page, reference);
  await reach(t("message.reply"));
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: t("reply.title") }).waitFor();
  await reach(t("reply.text"));
  await page.keyboard.type("Typed without a mouse.");
  await reach(t("reply.button"));
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: t("replied.title") }).waitFor();
  await end();
};

async function typeOn(page, code) {
  if (await page.getByText(t("code.travelling")).count()) await typeCode(page, code);
}

checks["without JavaScript"] = async () => {
  const recipient = "plain@selfsigned.test";
  const reference = await leave(recipient);
  const { page, end } = await visit({ javaScriptEnabled: false });
  await signIn(page, reference, recipient);
  await toMessage(page, reference);
  await page.getByRole("link", { name: t("message.reply"), exact: true }).first().click();
  await field(page, "reply.text").fill("No script was run for this.");
  await button(page, "reply.button").click();
  await page.getByRole("heading", { name: t("replied.title") }).waitFor();
  await end();
};

checks["a scanner in a browser follows every link and submits every form: unread stays unread"] = async () => {
  const recipient = "bot@selfsigned.test";
  const reference = await leave(recipient);
  const { page, context } = await visit();
  const todo = [`${p.url}/m/${reference}`], done = new Set();
  while (todo.length && done.size < 40) {
    const url = todo.shift();
    if (done.has(url)) continue;
    done.add(url);
    await page.goto(url).catch(() => {});
    await page.waitForLoadState().catch(() => {});
    const links = await page.evaluate("[...document.links].map((link) => link.href.split('#')[0])").catch(() => []);
    todo.push(...links.filter((link) => link.startsWith(p.url) && !done.has(link)));
    const forms = await page.evaluate("document.forms.length").catch(() => 0);
    for (let at = 0; at < forms; at += 1) {
      await page.goto(url).catch(() => {});
      await page.evaluate(`(() => {
        const form = document.forms[${at}];
        if (!form) return;
        for (const each of form.elements) {
          if (each.type === "file" || each.type === "hidden") continue;
          if ("value" in each && !each.value) each.value = each.type === "email" ? "${recipient}" : "12345678";
        }
        const press = [...form.elements].find((each) => each.type === "submit");
        if (press) press.click(); else form.submit();
      })()`).catch(() => {});
      await page.waitForLoadState().catch(() => {});
    }
  }
  await context.close();
  const shown = pickup("show", reference);
  if (shown.state !== "waiting" || shown.openings !== 0) throw new Error(JSON.stringify(shown));
  // What the bot had mailed is good in its browser only; the person asks in their own.
  await until("the bot's code", () => codesOf(recipient).at(-1));
  const mailed = codesOf(recipient).length;
  const person = await visit();
  await person.page.goto(`${p.url}/m/${reference}`);
  await button(person.page, "waits.button").click();
  const code = await until("code", () => codesOf(recipient)[mailed]);
  await typeCode(person.page, code);
  await toMessage(person.page, reference);
  await person.end();
};

checks["hostile HTML is shown and does nothing: no script, no request to a stranger"] = async () => {
  const hits = [];
  const canary = http.createServer((request, response) => {
    hits.push(request.url);
    response.end("x");
  });
  await new Promise((resolve) => canary.listen(0, "127.0.0.1", resolve));
  const stranger = `http://127.0.0.1:${canary.address().port}`;
  const payloads = JSON.parse(fs.readFileSync(p.hostile, "utf8"))
    .map((each) => (typeof each === "string" ? each : each.html ?? each.payload ?? each.input))
    .map((html) => html.replace(/https?:\/\/[a-z0-9.-]*(evil|canary|attacker|tracker)[a-z0-9.-]*/gi, stranger));
  if (payloads.length < 100) throw new Error(`only ${payloads.length} payloads`);
  const recipient = "html@selfsigned.test";
  const own = [`<img src="${stranger}/img">`, `<div style="background:url(${stranger}/css)">x</div>`,
    `<style>@import "${stranger}/import"; body{background:url(${stranger}/body)}</style>`,
    `<link rel=stylesheet href="${stranger}/link">`, `<svg><set attributeName=onload to="fetch('${stranger}/set')"></svg>`,
    `<iframe src="${stranger}/frame"></iframe>`, `<video poster="${stranger}/poster" src="${stranger}/video"></video>`,
    `<input type=image src="${stranger}/input">`, `<body background="${stranger}/bg">`, `<script>fetch("${stranger}/script")</script>`,
    `<img src=x onerror="fetch('${stranger}/onerror')">`, `<meta http-equiv=refresh content="0;url=${stranger}/refresh">`];
  const all = [...own, ...payloads], at = 25, told = [];
  const person = await visit();
  let signed = false;
  for (let from = 0; from < all.length; from += at) {
    // Each in a message part of its own, so that one that swallows the rest hides nothing.
    const html = all.slice(from, from + at).map((each, number) => `<div><p>part ${from + number}</p>${each}</div>`).join("\n");
    const reference = await leave(recipient, { mail: { html: `<p>${CANARY}</p>${html}`, attachments: [], textEncoding: "base64" } });
    if (!signed) {
      await signIn(person.page, reference, recipient);
      signed = true;
    }
    person.page.on("dialog", (dialog) => { told.push(`dialog ${dialog.message()}`); dialog.dismiss(); });
    await toMessage(person.page, reference);
    await person.page.getByRole("link", { name: t("message.view_html"), exact: true }).click();
    await person.page.frameLocator("iframe").getByText(CANARY).waitFor();
    await person.page.waitForLoadState("networkidle");
    for (const frame of person.page.frames().slice(1)) {
      const bad = await frame.evaluate(`[...document.querySelectorAll("*")].filter((it) =>
        ["SCRIPT","SVG","MATH","IFRAME","OBJECT","EMBED","FORM","INPUT","STYLE","BASE","META"].includes(it.tagName.toUpperCase())
          && !(it.tagName === "META" && !it.hasAttribute("http-equiv"))
        || [...it.attributes].some((attribute) => /^on|^style$|^srcdoc$|^formaction$/i.test(attribute.name)
          || /^\\s*(javascript|vbscript):/i.test(attribute.value))).map((it) => it.outerHTML.slice(0, 200))`);
      told.push(...bad);
    }
  }
  await person.context.close();
  canary.close();
  if (hits.length) throw new Error(`the stranger was asked for ${hits.slice(0, 10)}`);
  if (told.length) throw new Error(told.slice(0, 5).join(" ; "));
  if (person.wrong.some((each) => each.startsWith("went to"))) throw new Error(person.wrong.join("; ").slice(0, 500));
};

checks["start, help, imprint and what is not there"] = async () => {
  for (const viewport of [DESK, PHONE]) {
    const { page, end } = await visit({ viewport });
    await page.goto(p.url);
    await look(page, "start");
    await page.getByRole("link", { name: t("nav.help"), exact: true }).first().click();
    await look(page, "help");
    await page.getByRole("link", { name: t("nav.imprint"), exact: true }).first().click();
    await look(page, "imprint");
    await page.goto(`${p.url}/nothing/here`);
    await look(page, "error-404");
    await page.goto(p.url);
    await field(page, "start.address").fill("nobody-we-know@selfsigned.test");
    await button(page, "start.button").click();
    await page.waitForLoadState();
    await look(page, "start-next");
    await end();
  }
};

// ------------------------------------------------------------------ run

async function main() {
  browser = await chromium.launch({
    executablePath: p.chromium, env: { ...process.env, HOME: p.home },
    args: ["--no-sandbox", `--host-resolver-rules=MAP ${p.host} 127.0.0.1`, "--disable-dev-shm-usage"],
  });
  const only = process.argv.slice(3);
  for (const [name, run] of Object.entries(checks)) {
    if (only.length && !only.some((part) => name.includes(part))) continue;
    let why = null;
    const started = Date.now();
    try {
      await run();
    } catch (error) {
      why = String(error && error.stack || error).slice(0, 3000);
      // What was on the screen when it failed.
      for (const context of browser.contexts()) {
        for (const page of context.pages()) {
          await page.screenshot({ path: path.join(p.shots, `failed-${Object.keys(checks).indexOf(name)}.png`) }).catch(() => {});
          why += `\nat ${page.url()}: ${(await page.locator("body").innerText().catch(() => "")).slice(0, 500)}`;
        }
      }
    }
    for (const context of browser.contexts()) await context.close().catch(() => {});
    process.stdout.write(`${JSON.stringify({ name, why, ms: Date.now() - started })}\n`);
  }
  await browser.close();
  mailer.close();
}

main().catch((error) => {
  process.stdout.write(`${JSON.stringify({ name: "the browser runs", why: String(error && error.stack) })}\n`);
  process.exitCode = 1;
});
