//! What a server offers in its answer to EHLO (RFC 5321 §4.1.1.1).
//!
//! What was offered before TLS is forgotten with the plaintext (RFC 3207 §4.2): these values are
//! made anew from every EHLO and never merged.

use super::reply::Reply;

/// The extensions that this client uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 1870: offered, and the largest message in octets if the server names one.
    pub size: Option<Option<u64>>,
    /// RFC 4954 with RFC 4616.
    pub auth_plain: bool,
    /// The LOGIN mechanism, which no RFC describes and many servers speak.
    pub auth_login: bool,
}

impl Capabilities {
    /// Reads a positive answer to EHLO. Unknown and malformed keywords are passed over.
    pub fn from_ehlo(reply: &Reply) -> Self {
        let mut found = Self::default();
        // The first line is the server's name.
        for line in reply.lines().skip(1) {
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
            let Some(keyword) = words.next() else {
                continue;
            };
            match keyword.to_ascii_uppercase().as_str() {
                "STARTTLS" => found.starttls = true,
                "PIPELINING" => found.pipelining = true,
                "8BITMIME" => found.eight_bit_mime = true,
                // "0" means no fixed limit (RFC 1870 §4).
                "SIZE" => {
                    let limit = words.next().and_then(|word| word.parse().ok());
                    found.size = Some(limit.filter(|&limit| limit != 0));
                }
                "AUTH" => {
                    for mechanism in words {
                        found.auth_plain |= mechanism.eq_ignore_ascii_case("PLAIN");
                        found.auth_login |= mechanism.eq_ignore_ascii_case("LOGIN");
                    }
                }
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::reply::ReplyReader;
    use super::*;

    fn offered(lines: &str) -> Capabilities {
        let reply = ReplyReader::default().read(&mut lines.as_bytes());
        Capabilities::from_ehlo(&reply.unwrap().unwrap())
    }

    #[test]
    fn reads_the_keywords() {
        let all = offered(
            "250-mx.example STARTTLS\r\n250-pipelining\r\n250-SIZE 1000\r\n250-8BITMIME\r\n\
             250-AUTH LOGIN PLAIN XOAUTH2\r\n250-X-UNKNOWN 1 2\r\n250 STARTTLS\r\n",
        );
        assert_eq!(
            all,
            Capabilities {
                starttls: true,
                pipelining: true,
                eight_bit_mime: true,
                size: Some(Some(1000)),
                auth_plain: true,
                auth_login: true,
            }
        );
    }

    #[test]
    fn a_name_is_no_keyword_and_odd_sizes_are_no_limit() {
        assert_eq!(offered("250 STARTTLS\r\n"), Capabilities::default());
        for size in ["SIZE", "SIZE 0", "SIZE x", "SIZE 99999999999999999999999"] {
            let found = offered(&format!("250-mx\r\n250 {size}\r\n"));
            assert_eq!(found.size, Some(None), "{size}");
        }
        assert!(offered("250-mx\r\n250 AUTH=PLAIN\r\n").auth_plain);
    }
}
