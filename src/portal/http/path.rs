//! The path of a request, taken apart (RFC 3986 §3.3). Pure.
//!
//! Decoded once. What could be read as another path by anything behind us is refused rather than
//! tidied: an empty segment, `..`, `/` or `\` inside a segment, NUL and other control characters,
//! octets that are no UTF-8, `%` that escapes nothing.

/// Octets of a path.
pub const MAX_PATH_OCTETS: usize = 1024;
/// Segments of a path.
pub const MAX_SEGMENTS: usize = 8;

/// The segments of a path, decoded; `/` has none. `None` if the path is refused.
pub fn segments(path: &str) -> Option<Vec<String>> {
    let rest = path.strip_prefix('/')?;
    if path.len() > MAX_PATH_OCTETS {
        return None;
    }
    if rest.is_empty() {
        return Some(Vec::new());
    }
    let mut found = Vec::new();
    for raw in rest.split('/') {
        if found.len() == MAX_SEGMENTS {
            return None;
        }
        found.push(segment(raw)?);
    }
    Some(found)
}

fn segment(raw: &str) -> Option<String> {
    if !escapes_are_whole(raw.as_bytes()) {
        return None;
    }
    let decoded = percent_encoding::percent_decode_str(raw)
        .decode_utf8()
        .ok()?;
    let sound = !decoded.is_empty()
        && decoded != "."
        && !decoded.contains("..")
        && !decoded
            .chars()
            .any(|c| matches!(c, '/' | '\\') || c.is_control());
    sound.then(|| decoded.into_owned())
}

/// Whether every `%` is followed by two hexadecimal digits.
fn escapes_are_whole(raw: &[u8]) -> bool {
    let mut parts = raw.split(|octet| *octet == b'%');
    parts.next();
    parts.all(|part| {
        part.get(..2)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_decoded_once() {
        assert_eq!(segments("/").unwrap(), Vec::<String>::new());
        assert_eq!(segments("/m/abc").unwrap(), ["m", "abc"]);
        assert_eq!(segments("/m/a%20b").unwrap(), ["m", "a b"]);
        assert_eq!(segments("/m/%252e%252e").unwrap(), ["m", "%2e%2e"]);
        assert_eq!(segments("/%C3%A9").unwrap(), ["é"]);
    }

    #[test]
    fn what_could_mean_another_path_is_refused() {
        for path in [
            "",
            "m",
            "*",
            "//",
            "/m/",
            "//evil.example",
            "/../etc/passwd",
            "/m/..",
            "/m/.",
            "/m/%2e%2e/x",
            "/m/%2E%2E%2Fx",
            "/a..b",
            "/m/%2f",
            "/m/%5c..",
            "/m\\x",
            "/m/%00",
            "/m/%0d%0aX",
            "/m/%7f",
            "/m/%c0%af",
            "/m/%ff",
            "/m/%",
            "/m/%4",
            "/m/%zz",
            "/m/%u002e",
            "/1/2/3/4/5/6/7/8/9",
        ] {
            assert_eq!(segments(path), None, "{path}");
        }
        assert_eq!(segments(&format!("/{}", "a".repeat(MAX_PATH_OCTETS))), None);
    }

    proptest! {
        #[test]
        fn nothing_that_is_taken_can_climb(path in "/[ -~%./\\\\]{0,64}") {
            for segment in segments(&path).unwrap_or_default() {
                prop_assert!(!segment.is_empty() && !segment.contains(".."));
                prop_assert!(!segment.contains(['/', '\\', '\0']));
            }
        }
    }
}
