//! Reading octets by place: nothing here can run over an end.
//!
//! Owns: the small questions every detector asks (what stands here, where does this line end, do
//! these digits follow one another). Every look is bounded by its caller.

/// The octet at `at`; 0 beyond the end.
pub(super) fn at(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(0)
}

/// The octet before `at`; 0 at the start.
pub(super) fn before(text: &[u8], at: usize) -> u8 {
    at.checked_sub(1)
        .and_then(|i| text.get(i))
        .copied()
        .unwrap_or(0)
}

/// The octets from `from` up to `to`, as far as they exist.
pub(super) fn slice(text: &[u8], from: usize, to: usize) -> &[u8] {
    let to = to.min(text.len());
    text.get(from.min(to)..to).unwrap_or_default()
}

/// Letters, digits, and everything beyond ASCII.
pub(super) const fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b >= 0x80
}

/// Letters, and everything beyond ASCII.
pub(super) const fn is_letter(b: u8) -> bool {
    b.is_ascii_alphabetic() || b >= 0x80
}

/// How many digits stand at `from`, at most `most`.
pub(super) fn digits(text: &[u8], from: usize, most: usize) -> usize {
    slice(text, from, from.saturating_add(most))
        .iter()
        .take_while(|b| b.is_ascii_digit())
        .count()
}

/// The number that the octets are; they are at most nine digits.
pub(super) fn number(digits: &[u8]) -> u32 {
    digits
        .iter()
        .take(9)
        .fold(0, |sum, b| sum * 10 + u32::from(b.wrapping_sub(b'0') % 10))
}

/// The next digit at or after `from`.
pub(super) fn next_digit(text: &[u8], from: usize) -> Option<usize> {
    const STEP: usize = 32;
    let rest = text.get(from..)?;
    let mut skipped = 0;
    for chunk in rest.chunks(STEP) {
        // Without a branch per octet, so that it becomes a few vector instructions.
        let any = chunk
            .iter()
            .fold(false, |any, b| any | (b.wrapping_sub(b'0') < 10));
        if any {
            let place = chunk.iter().position(u8::is_ascii_digit)?;
            return Some(from + skipped + place);
        }
        skipped += chunk.len();
    }
    None
}

/// Where the line of `from` starts, looking back at most `most` octets.
pub(super) fn line_start(text: &[u8], from: usize, most: usize) -> usize {
    let floor = from.saturating_sub(most);
    let back = slice(text, floor, from)
        .iter()
        .rposition(|b| matches!(b, b'\n' | b'\r'));
    back.map_or(floor, |place| floor + place + 1)
}

/// Where the line of `from` ends, looking on at most `most` octets.
pub(super) fn line_end(text: &[u8], from: usize, most: usize) -> usize {
    let ahead = slice(text, from, from.saturating_add(most));
    let place = memchr::memchr2(b'\n', b'\r', ahead);
    from + place.unwrap_or(ahead.len())
}

/// The start of the line after the one that ends at `end`.
pub(super) fn next_line(text: &[u8], end: usize) -> usize {
    match (at(text, end), at(text, end + 1)) {
        (b'\r', b'\n') => end + 2,
        (b'\r' | b'\n', _) => end + 1,
        _ => end,
    }
}

/// What stands between two groups of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Separator {
    /// `-`, `.`, `/`, or a space.
    pub(super) kind: u8,
    /// Whether a line break is in it.
    pub(super) folded: bool,
    /// Where it ends.
    pub(super) end: usize,
}

/// Longest separator: a hyphen, blanks, one line break and an indent.
const MAX_SEPARATOR: usize = 6;

/// The separator at `from`.
pub(super) fn separator(text: &[u8], from: usize) -> Option<Separator> {
    let mut found = Separator {
        kind: b' ',
        folded: false,
        end: from,
    };
    for b in slice(text, from, from + MAX_SEPARATOR) {
        match b {
            b'-' | b'.' | b'/' if found.kind == b' ' => found.kind = *b,
            b' ' | b'\t' | b'\r' => {}
            b'\n' if !found.folded => found.folded = true,
            _ => break,
        }
        found.end += 1;
    }
    (found.end > from).then_some(found)
}

/// Digits in groups.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grouped<const N: usize> {
    /// Without the separators.
    pub(super) digits: [u8; N],
    /// The separators' kind; 0 where there are none.
    pub(super) kind: u8,
    /// How many line breaks stand between its groups.
    pub(super) folds: usize,
    /// Where the last group ends.
    pub(super) end: usize,
}

/// `N` digits at `from` in groups of just these sizes, all with the same separator or all with
/// none. What stands around them is not looked at.
pub(super) fn grouped<const N: usize>(
    text: &[u8],
    from: usize,
    sizes: &[usize],
) -> Option<Grouped<N>> {
    let mut found = Grouped {
        digits: [0; N],
        kind: 0,
        folds: 0,
        end: from,
    };
    let mut filled = 0;
    let bare = digits(text, from, N + 1) == N;
    for (number, size) in sizes.iter().enumerate() {
        if number > 0 && !bare {
            let separator = separator(text, found.end)?;
            if number > 1 && separator.kind != found.kind {
                return None;
            }
            found.kind = separator.kind;
            found.folds += usize::from(separator.folded);
            found.end = separator.end;
        }
        let group = slice(text, found.end, found.end + size);
        let fits = group.len() == *size
            && group.iter().all(u8::is_ascii_digit)
            && (bare || !at(text, found.end + size).is_ascii_digit());
        if !fits {
            return None;
        }
        found
            .digits
            .get_mut(filled..filled + size)?
            .copy_from_slice(group);
        filled += size;
        found.end += size;
    }
    (filled == N).then_some(found)
}

/// Whether a number may start at `from`: nothing joins it to what stands before.
pub(super) fn opens(text: &[u8], from: usize) -> bool {
    let one = before(text, from);
    if is_word(one) || one == b'_' {
        return false;
    }
    // `12-123…`, `3.123…`: the tail of something longer.
    let two = before(text, from.saturating_sub(1));
    !(matches!(one, b'-' | b'.' | b'/' | b'\\') && is_word(two) || one == b'+')
}

/// Whether a number may end at `end`: nothing joins it to what follows.
pub(super) fn closes(text: &[u8], end: usize) -> bool {
    let one = at(text, end);
    if is_word(one) || matches!(one, b'_' | b'%') {
        return false;
    }
    let two = at(text, end + 1);
    !(matches!(one, b'-' | b'/' | b'\\') && is_word(two) || one == b'.' && two.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_need_their_sizes_and_one_separator() {
        let read = |text: &str| {
            grouped::<9>(text.as_bytes(), 0, &[3, 2, 4]).map(|it| (it.kind, it.folds > 0, it.end))
        };
        assert_eq!(read("123-45-6789"), Some((b'-', false, 11)));
        assert_eq!(read("123 45 6789x"), Some((b' ', false, 11)));
        assert_eq!(read("123-45-\r\n6789"), Some((b'-', true, 13)));
        assert_eq!(read("123 - 45 - 6789"), Some((b'-', false, 15)));
        assert_eq!(read("123456789"), Some((0, false, 9)));
        for broken in [
            "123-45 6789",
            "123-456-789",
            "1234567890",
            "123-45-67890",
            "123-45-678",
            "",
            "123--45-6789",
            "123-\n\n45-6789",
        ] {
            assert_eq!(read(broken), None, "{broken}");
        }
    }

    #[test]
    fn numbers_do_not_start_or_end_inside_something_longer() {
        for (text, from, fits) in [
            ("a 1", 2, true),
            ("(1", 1, true),
            ("x1", 1, false),
            ("2-1", 2, false),
            ("- 1", 2, true),
            ("-1", 1, true),
            ("+1", 1, false),
            ("3.1", 2, false),
            ("3,1", 2, true),
            ("é1", 2, false),
            ("1", 0, true),
        ] {
            assert_eq!(opens(text.as_bytes(), from), fits, "{text}");
        }
        for (text, end, fits) in [
            ("1.", 1, true),
            ("1. A", 1, true),
            ("1.5", 1, false),
            ("1-a", 1, false),
            ("1, 2", 1, true),
            ("1,2", 1, true),
            ("1)", 1, true),
            ("1%", 1, false),
            ("1", 1, true),
        ] {
            assert_eq!(closes(text.as_bytes(), end), fits, "{text}");
        }
    }

    #[test]
    fn digits_are_found_across_chunks() {
        let text = format!("{}7{}8", "x".repeat(70), "é".repeat(40));
        assert_eq!(next_digit(text.as_bytes(), 0), Some(70));
        assert_eq!(next_digit(text.as_bytes(), 71), Some(151));
        assert_eq!(next_digit(text.as_bytes(), 152), None);
        assert_eq!(next_digit(text.as_bytes(), 999), None);
    }
}
