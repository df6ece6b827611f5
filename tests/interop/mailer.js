// Sends one message with nodemailer; prints the reply to its content.
// argv: host, port, ca file, user, sender, recipient, raw message file or "-" to compose one. Password on stdin.
const fs = require("fs");
const nodemailer = require("nodemailer");

const [host, port, ca, user, sender, recipient, raw] = process.argv.slice(2);
const pass = fs.readFileSync(0, "utf8").trim();
const transport = nodemailer.createTransport({
  host: "127.0.0.1",
  port: Number(port),
  secure: false,
  requireTLS: true,
  auth: { user, pass },
  tls: { ca: fs.readFileSync(ca), servername: host },
});
const message =
  raw === "-"
    ? {
        from: `Billing <${sender}>`,
        to: recipient,
        subject: "Grüße aus der Praxis",
        messageId: "<composed-by-nodemailer@clinic.test>",
        text: "Zeile eins\n.\n..\nÄÖÜ\n",
        attachments: [{ filename: "table.csv", content: "zeile\n".repeat(20000) }],
      }
    : { envelope: { from: sender, to: [recipient] }, raw: fs.readFileSync(raw) };
transport.sendMail(message).then(
  (info) => console.log(info.response),
  (error) => {
    console.error(error.message);
    process.exit(1);
  },
);
