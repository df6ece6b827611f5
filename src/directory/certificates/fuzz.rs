//! What must hold for any octets that are given as a certificate or as a file of them.

use bytes::Bytes;

use super::examine::{Vouching, examine};
use super::formats::{self, MAX_FILE_CERTIFICATES};
use super::import;
use super::names;
use super::parse::{MAX_CERTIFICATE_OCTETS, Parsed};
use crate::mail::{Address, CertificateProblem, Timestamp};
use crate::proto::cms::RecipientKey;

/// Reads any octets as a certificate, as the names in one, and as a file; what is accepted must be
/// what it says, and within its bounds. An error is a mistake of this program.
pub fn check_fuzz_input(octets: &[u8]) -> Result<(), &'static str> {
    if let Ok(parsed) = Parsed::read(&Bytes::copy_from_slice(octets)) {
        certificate(&parsed)?;
    }
    if let Ok(found) = names::of_extension(octets) {
        found.addresses.iter().try_for_each(plain)?;
    }
    let items = formats::read(octets).unwrap_or_default();
    if items.len() > MAX_FILE_CERTIFICATES {
        return Err("more certificates than a file may hold");
    }
    for der in items.iter().filter_map(|it| it.der.as_ref().ok()) {
        if der.len() > MAX_CERTIFICATE_OCTETS {
            return Err("a certificate over its bound");
        }
        if let Ok(parsed) = Parsed::read(der) {
            certificate(&parsed)?;
        }
    }
    drop(import::read(octets));
    Ok(())
}

fn certificate(parsed: &Parsed) -> Result<(), &'static str> {
    if parsed.key.is_ok() && RecipientKey::of_certificate(&parsed.der).is_err() {
        return Err("a key is good here and of no use for sealing");
    }
    if parsed.not_after < parsed.not_before {
        return Err("it ends before it begins");
    }
    for address in &parsed.names.addresses {
        plain(address)?;
        for now in [Timestamp::default(), parsed.not_before, parsed.not_after] {
            let accepted = examine(parsed, address, now, Vouching::Operator);
            match accepted {
                Ok(()) if parsed.names.hostile || parsed.authority || parsed.key.is_err() => {
                    return Err("accepted with something in it that is refused");
                }
                Err(CertificateProblem::OtherAddress) => return Err("not for its own address"),
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(())
}

/// An address of a certificate is one that mail can be sent to, without quotes.
fn plain(address: &Address) -> Result<(), &'static str> {
    let text = address.to_string();
    match Address::parse(&text) {
        Ok(again) if again == *address && !text.contains(['"', ' ', '\0']) => Ok(()),
        _ => Err("an address that is none"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus() -> Vec<(String, Vec<u8>)> {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/smime_cert");
        let read = |entry: std::io::Result<std::fs::DirEntry>| {
            let path = entry.unwrap().path();
            (path.display().to_string(), std::fs::read(&path).unwrap())
        };
        std::fs::read_dir(corpus).unwrap().map(read).collect()
    }

    #[test]
    fn the_corpus_holds_what_must_hold_cut_short_and_damaged() {
        let corpus = corpus();
        assert!(corpus.len() >= 12, "{} inputs", corpus.len());
        let mut accepted = 0;
        for (name, octets) in corpus {
            assert_eq!(check_fuzz_input(&octets), Ok(()), "{name}");
            accepted += usize::from(import::read(&octets).is_ok_and(|it| it.has_leaves()));
            for end in (0..octets.len()).step_by(7) {
                assert_eq!(check_fuzz_input(&octets[..end]), Ok(()), "{name} to {end}");
                let mut damaged = octets.clone();
                damaged[end] ^= 1 << (end % 8);
                assert_eq!(check_fuzz_input(&damaged), Ok(()), "{name} at {end}");
            }
        }
        assert!(accepted >= 6, "{accepted} inputs have a certificate");
    }
}
