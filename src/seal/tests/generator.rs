//! Random messages as submission lets them through, from a seed: nested MIME, attachments, 8-bit
//! text, long lines, no body, no Content-Type, odd folds. Every text that must stay inside holds a
//! canary, a word that occurs nowhere else.

/// A stream of numbers that depends on the seed alone (splitmix64).
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    pub(super) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(super) fn pick<'a>(&mut self, among: &[&'a str]) -> &'a str {
        among[self.below(among.len())]
    }
}

/// A message, and what must not be seen of it.
pub(super) struct Made {
    pub(super) content: Vec<u8>,
    pub(super) canaries: Vec<String>,
}

pub(super) const AUTHOR: &str = "jo@clinic.example";

struct Maker<'a> {
    rng: &'a mut Rng,
    canaries: Vec<String>,
}

/// A message whose body has about `octets` octets.
pub(super) fn message(rng: &mut Rng, octets: usize) -> Made {
    let mut maker = Maker {
        rng,
        canaries: Vec::new(),
    };
    let mut content = maker.header();
    match maker.rng.below(12) {
        // Nothing at all, not even an empty line.
        0 => {}
        1 => content.extend_from_slice(b"\r\n"),
        // No Content-Type.
        2 => {
            content.extend_from_slice(b"\r\n");
            content.extend(maker.text(octets, true));
        }
        _ => content.extend(maker.entity(octets, 0)),
    }
    if maker.rng.one_in(3) && content.ends_with(b"\r\n") && !content.ends_with(b"\r\n\r\n") {
        let body = content.windows(4).any(|four| four == b"\r\n\r\n");
        // A last line without its end is content as good as any.
        content.truncate(content.len() - if body { 2 } else { 0 });
    }
    Made {
        content,
        canaries: maker.canaries,
    }
}

impl Maker<'_> {
    fn canary(&mut self) -> String {
        let word = format!("Canary{:016x}", self.rng.next());
        self.canaries.push(word.clone());
        word
    }

    /// The fields without those of MIME, in any order below Received.
    fn header(&mut self) -> Vec<u8> {
        let mut fields = vec![
            format!("From: \"Jo Doe\" <{AUTHOR}>\r\n"),
            "Date: Sun, 22 Nov 2026 00:30:07 +0000\r\n".to_owned(),
            format!("Message-ID: <{:x}@clinic.example>\r\n", self.rng.next()),
        ];
        let subject = self.canary();
        let subject = match self.rng.below(6) {
            0 => format!("Subject:{subject}\r\n"),
            1 => format!("subject: =?utf-8?q?{subject}=C3=A9?=\r\n =?utf-8?b?w6k=?= x\r\n"),
            2 => format!("Subject: {}\r\n\t {subject}\r\n", "long ".repeat(190)),
            3 => String::new(),
            _ => format!("Subject: The results of {subject}, and more\r\n"),
        };
        fields.push(subject);
        let to: Vec<String> = (0..=self.rng.below(5))
            .map(|at| format!("Kim {at} <kim{at}@smime.example>"))
            .collect();
        fields.push(format!("To: {}\r\n", to.join(",\r\n ")));
        let shown = [
            "Cc: lab@clinic.example (the lab)\r\n",
            "Sender: jo@clinic.example\r\n",
            "Reply-To:\r\n desk@clinic.example\r\n",
            "References: <a@x.example>\r\n\t<b@x.example>\r\n",
            "In-Reply-To:<b@x.example>\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Importance: High\r\n",
            "X-Priority: 1 (Highest)\r\n",
            "List-Id: Patients <patients.clinic.example>\r\n",
            "List-Unsubscribe: <https://clinic.example/u?1>,\r\n <mailto:u@clinic.example>\r\n",
            "Disposition-Notification-To: jo@clinic.example\r\n",
            "MIME-Version: 1.0\r\n",
        ];
        let shown: Vec<&str> = shown.into_iter().filter(|_| self.rng.one_in(2)).collect();
        fields.extend(shown.into_iter().map(str::to_owned));
        let inside = [
            "Keywords",
            "Comments",
            "X-Patient",
            "Thread-Topic",
            "X-Mailer",
            "Organization",
            "HP-Outer",
            "DKIM-Signature",
            "Authentication-Results",
            "Bcc",
            "Content-Description",
            "Precedence",
            "Priority",
            "X-Matter",
            "Received",
            "Resent-Message-ID",
            "Resent-Date",
        ];
        for name in inside {
            if self.rng.one_in(3) {
                let canary = self.canary();
                fields.push(format!("{name}: {canary}\r\n"));
            }
        }
        if self.rng.one_in(5) {
            let canary = self.canary();
            fields.push(format!("X-Long: {}{canary}\r\n", "x".repeat(900)));
        }
        // Any order.
        for at in (1..fields.len()).rev() {
            let other = self.rng.below(at + 1);
            fields.swap(at, other);
        }
        let mut header = b"Received: from app by mail.clinic.example with ESMTPSA id 1;\r\n Sun, 22 Nov 2026 00:30:07 +0000\r\n".to_vec();
        header.extend(fields.concat().into_bytes());
        header
    }

    /// Content fields, an empty line, a body.
    fn entity(&mut self, octets: usize, depth: usize) -> Vec<u8> {
        let kind = if depth > 5 { 2 } else { 0 };
        match self.rng.below(8) + kind {
            0 | 1 => self.multipart(octets, depth),
            9.. => self.plain(octets),
            2 => self.attached_message(octets, depth),
            3 => self.binary(octets),
            4 => {
                let canary = self.canary();
                let text = self.text(octets, false);
                let mut entity = format!("Content-Type: text/html; charset=us-ascii\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-ID: <{canary}@x>\r\n\r\n").into_bytes();
                entity.extend(text);
                entity
            }
            _ => self.plain(octets),
        }
    }

    fn plain(&mut self, octets: usize) -> Vec<u8> {
        let eight_bit = self.rng.one_in(2);
        let kind = self.rng.pick(&[
            "Content-Type: text/plain; charset=utf-8\r\n",
            "content-type:text/plain;charset=\"utf-8\";\r\n",
            "Content-Type: text/plain\r\n",
            "Content-Type: text/plain (a; b=\"c) ; charset=utf-8 (d)\r\n",
            "Content-Type:\r\n text/plain;\r\n\tformat=flowed;\r\n charset=utf-8\r\n",
            "Content-Type: Text/Calendar; method=REQUEST; charset=\"utf-8\"; name=\"0123456789012345678901234567\"\r\n",
        ]);
        let mut entity = kind.as_bytes().to_vec();
        if eight_bit {
            entity.extend_from_slice(b"Content-Transfer-Encoding: 8bit\r\n");
        }
        entity.extend_from_slice(b"\r\n");
        entity.extend(self.text(octets, eight_bit));
        entity
    }

    fn multipart(&mut self, octets: usize, depth: usize) -> Vec<u8> {
        let boundary = format!("b{:x}", self.rng.next());
        let kind = self
            .rng
            .pick(&["mixed", "alternative", "related", "digest", "report"]);
        let mut entity =
            format!("Content-Type: multipart/{kind}; boundary=\"{boundary}\"\r\n\r\n").into_bytes();
        if self.rng.one_in(3) {
            let canary = self.canary();
            entity.extend(format!("{canary} for old programs\r\n").into_bytes());
        }
        let count = 1 + self.rng.below(4);
        for _ in 0..count {
            entity.extend(format!("--{boundary}\r\n").into_bytes());
            entity.extend(self.entity(octets / count, depth + 1));
            entity.extend_from_slice(b"\r\n");
        }
        // Some programs forget the last one.
        if depth > 0 || !self.rng.one_in(10) {
            entity.extend(format!("--{boundary}--\r\n").into_bytes());
        }
        if self.rng.one_in(4) {
            entity.extend_from_slice(b"\r\nbehind it all  \r\n");
        }
        entity
    }

    /// A message within, whose header looks like one that counts.
    fn attached_message(&mut self, octets: usize, depth: usize) -> Vec<u8> {
        let canary = self.canary();
        let mut entity = format!("Content-Type: message/rfc822\r\n\r\nFrom: eve@evil.example\r\nSubject: {canary}\r\nTo: {canary}@evil.example\r\n").into_bytes();
        entity.extend(self.entity(octets, depth + 1));
        entity
    }

    fn binary(&mut self, octets: usize) -> Vec<u8> {
        let canary = self.canary();
        let mut entity = format!("Content-Type: application/pdf;\r\n name=\"{canary}.pdf\"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment;\r\n filename*=utf-8''{canary}.pdf\r\n\r\n").into_bytes();
        for _ in 0..=octets / 78 {
            entity.extend((0..76).map(|_| b"ABCDEFabcdef0123+/"[self.rng.below(18)]));
            entity.extend_from_slice(b"\r\n");
        }
        entity
    }

    /// Lines that get hurt on the way where anything is done to them.
    fn text(&mut self, octets: usize, eight_bit: bool) -> Vec<u8> {
        let canary = self.canary();
        let mut text = Vec::new();
        while text.len() < octets {
            match self.rng.below(9) {
                0 => text.extend_from_slice(b"From here on \t \r\n"),
                1 => text.extend_from_slice(b".\r\n"),
                2 => text.extend_from_slice(b"\r\n\r\n"),
                3 => text.extend(vec![b'x'; 998]),
                4 if eight_bit => text.extend_from_slice("Gr\u{fc}\u{df}e \u{2713}".as_bytes()),
                5 if eight_bit => {
                    text.extend(
                        (0..40).map(|_| match u8::try_from(self.rng.below(256)).unwrap() {
                            b'\r' | b'\n' | 0 => 0xff,
                            octet => octet,
                        }),
                    )
                }
                6 => text.extend_from_slice(b"--\r\n--b\r\nSubject: none\r\n"),
                7 => text.extend_from_slice(b"-- \r\n"),
                _ => text.extend(format!("It says {canary}.").into_bytes()),
            }
            text.extend_from_slice(b"\r\n");
        }
        text
    }
}
