//! Tests of the content reader: smuggling, limits, round trips, every cut.

use proptest::prelude::*;

use super::*;

/// Reads `wire` cut into pieces of `chunk` octets; content, octets left over, the reader.
fn read(wire: &[u8], limit: u64, chunk: usize) -> (Vec<u8>, Option<usize>, DataReader) {
    let mut reader = DataReader::new(limit);
    let mut content = Vec::new();
    let mut taken = 0;
    for piece in wire.chunks(chunk) {
        let progress = reader.read(piece, &mut content);
        taken += progress.consumed;
        if progress.ended {
            return (content, Some(wire.len() - taken), reader);
        }
        assert_eq!(progress.consumed, piece.len());
    }
    (content, None, reader)
}

/// A canonical text on the wire (RFC 5321 §4.5.2), written independently of the reader.
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

#[test]
fn ends_only_at_the_one_end() {
    let cases: [(&[u8], &[u8], usize); 7] = [
        (b".\r\n", b"", 0),
        (b".\r\nQUIT\r\n", b"", 6),
        (b"a\r\n.\r\n", b"a\r\n", 0),
        (
            b"..\r\n...\r\n..a\r\n.b\r\n.\r\n",
            b".\r\n..\r\n.a\r\nb\r\n",
            0,
        ),
        (b"\r\n\r\n.\r\n.\r\n", b"\r\n\r\n", 3),
        (b"a.\r\n.b\r\n.\r\n", b"a.\r\nb\r\n", 0),
        (b"\xff\xfe\r\n.\r\n", b"\xff\xfe\r\n", 0),
    ];
    for (wire, content, left) in cases {
        for chunk in 1..=wire.len() {
            let (read, rest, reader) = read(wire, 1000, chunk);
            assert_eq!(
                (read.as_slice(), reader.fault()),
                (content, None),
                "{wire:?} by {chunk}"
            );
            if chunk == wire.len() {
                assert_eq!(rest, Some(left), "{wire:?}");
            } else {
                assert!(rest.is_some());
            }
        }
    }
}

/// The published smuggling sequences: none ends the data, each is refused at the true end.
#[test]
fn smuggling_sequences_end_nothing() {
    let sequences: [&[u8]; 18] = [
        b"\n.\n",
        b"\n.\r\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\n",
        b"\r\n.\r",
        b"\n\n.\n\n",
        b"\r\r\n.\r\r\n",
        b"\r\n.\r\r\n",
        b"\n.\r\r\n",
        b"\r\n\x00.\r\n\n",
        b"\r.\n",
        b"\n.\r",
        b"\r\n.\r.\r\n",
        b"\r\n.\n.\r\n",
        b"\n",
        b"\r",
        b"\n\r",
    ];
    for sequence in sequences {
        let wire = [
            &b"one\r\ntwo"[..],
            sequence,
            b"MAIL FROM:<x@y.example>\r\nx\r\n.\r\nNOOP\r\n",
        ]
        .concat();
        for chunk in 1..=wire.len() {
            let mut reader = DataReader::new(1000);
            let mut content = Vec::new();
            let mut taken = 0;
            let ended = wire.chunks(chunk).any(|piece| {
                let progress = reader.read(piece, &mut content);
                taken += progress.consumed;
                progress.ended
            });
            assert!(ended, "{sequence:?}");
            assert_eq!(
                wire.len() - taken,
                b"NOOP\r\n".len(),
                "{sequence:?} by {chunk}"
            );
            assert!(
                matches!(reader.fault(), Some(DataFault::BareLineEnd { line: 2..=4 })),
                "{sequence:?}: {:?}",
                reader.fault()
            );
            assert!(
                !content.windows(4).any(|part| part == b"MAIL"),
                "{sequence:?}"
            );
        }
    }
}

#[test]
fn line_limit_just_under_at_and_over() {
    for (octets, ok) in [(997, true), (998, true), (999, false), (998_000, false)] {
        let wire = stuffed(&[vec![b'.'; octets], b"\r\nx\r\n".to_vec()].concat());
        for chunk in [1, 7, 4096] {
            let (_, left, reader) = read(&wire, u64::MAX, chunk);
            assert_eq!(left.map(|left| left % chunk), Some(0));
            let fault = (!ok).then_some(DataFault::LineTooLong { line: 1 });
            assert_eq!(reader.fault(), fault, "{octets} by {chunk}");
        }
    }
}

#[test]
fn size_limit_just_under_at_and_over() {
    let content = b"0123456\r\n.\r\n"; // 12 octets
    for (limit, ok) in [(13, true), (12, true), (11, false), (0, false)] {
        let (read, _, reader) = read(&stuffed(content), limit, 1);
        assert_eq!(
            reader.fault(),
            (!ok).then_some(DataFault::TooLarge { limit })
        );
        assert_eq!(reader.octets(), 12);
        assert!(read.len() as u64 <= limit);
    }
}

#[test]
fn nul_is_refused_and_bare_ends_win() {
    let (_, _, reader) = read(b"a\r\nb\0c\r\n.\r\n", 1000, 3);
    assert_eq!(reader.fault(), Some(DataFault::Nul { line: 2 }));
    let (_, _, reader) = read(b"a\0\r\nb\nc\r\nd\re\r\n.\r\n", 1000, 3);
    assert_eq!(reader.fault(), Some(DataFault::BareLineEnd { line: 2 }));
    let (_, _, reader) = read(b"a\r\nb\nc\r\n.\r\n", 2, 3);
    assert_eq!(reader.fault(), Some(DataFault::BareLineEnd { line: 2 }));
}

proptest! {
    #[test]
    fn stuffing_round_trips(lines in proptest::collection::vec("[.a-c\u{e4}]{0,6}", 0..20), chunk in 1_usize..50) {
        let content: Vec<u8> = lines.iter().flat_map(|line| format!("{line}\r\n").into_bytes()).collect();
        let wire = stuffed(&content);
        let (read, left, reader) = read(&wire, 10_000, chunk);
        prop_assert!(left.is_some());
        prop_assert_eq!(reader.fault(), None);
        prop_assert_eq!(read, content);
    }

    #[test]
    fn what_comes_out_is_canonical(wire in proptest::collection::vec(
        prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'\0'), Just(b'x')], 0..60), cut in 0_usize..60)
    {
        let mut reader = DataReader::new(40);
        let mut content = Vec::new();
        let (head, tail) = wire.split_at(cut.min(wire.len()));
        let first = reader.read(head, &mut content);
        let mut end = first.ended.then_some(first.consumed);
        if !first.ended {
            let second = reader.read(tail, &mut content);
            end = second.ended.then_some(head.len() + second.consumed);
        }
        // Where the end is, by another way: the first CRLF "." CRLF, the line before included.
        let with_command = [b"\r\n", wire.as_slice()].concat();
        let expected = memchr::memmem::find(&with_command, b"\r\n.\r\n").map(|at| at + 3);
        prop_assert_eq!(end, expected);
        prop_assert!(content.len() <= 40);
        let text = String::from_utf8_lossy(&content).replace("\r\n", "");
        prop_assert!(!text.contains(['\r', '\n', '\0']) || reader.fault().is_some());
        prop_assert!(reader.fault().is_some() || content.is_empty() || content.ends_with(b"\r\n") || end.is_none());
    }
}
